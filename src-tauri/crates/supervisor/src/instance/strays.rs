//! Shims of services and instances that are no longer configured: their trees are ended and they quit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::Run;
use tokio::time::timeout;

use super::jobs::recover_blocking;
use crate::cell::Cell;
use crate::seat::Seat;
use crate::shared::Shared;
use crate::shim_link::{FromShim, Label, Link, State, StopSpec, ToShim, Welcome, find};

/// Without a label that says otherwise.
const DEFAULT_STOP: StopSpec = StopSpec {
    signal: 15,
    grace_ms: 10_000,
};

/// Ends them, each in a task of its own.
pub(crate) fn end(shared: &Arc<Shared>, cells: &[Arc<Cell>]) {
    let run_dir = &shared.parts.run_dir;
    let configured: BTreeSet<_> = cells
        .iter()
        .map(|cell| cell.spec())
        .filter(|spec| matches!(spec.run, Run::Process(_)))
        .flat_map(|spec| {
            (0..spec.replicas.max(1)).map(move |index| Seat::of(run_dir, &spec.name, index).socket)
        })
        .collect();
    let taken = Seat::taken(run_dir).unwrap_or_default();
    for seat in taken
        .into_iter()
        .filter(|seat| !configured.contains(&seat.socket))
    {
        tokio::spawn(async move {
            if let Err(why) = end_one(&seat).await {
                tracing::warn!("{}: {why}", seat.socket.display());
            }
        });
    }
}

async fn end_one(seat: &Seat) -> Result<(), String> {
    let mut stop = DEFAULT_STOP;
    if let Some((link, welcome)) = find(seat).await {
        if let Some(label) = Label::decode(&welcome.label) {
            tracing::info!(
                "ending {} (instance {}): it left the configuration",
                label.service,
                label.instance
            );
            if label.stop_signal > 0 {
                stop = StopSpec {
                    signal: label.stop_signal,
                    grace_ms: label.stop_grace_ms,
                };
            }
        }
        if quit(link, &welcome, stop).await.is_ok() {
            return Ok(());
        }
    }
    recover_blocking(seat.clone(), stop).await
}

async fn quit(mut link: Link, welcome: &Welcome, stop: StopSpec) -> Result<(), String> {
    let failed = |e: std::io::Error| e.to_string();
    if welcome.state != State::Empty {
        link.send(&ToShim::Stop(stop)).map_err(failed)?;
        let within = Duration::from_millis(stop.grace_ms) + Duration::from_secs(10);
        let ended = async {
            loop {
                if link
                    .next()
                    .await
                    .map_err(failed)?
                    .contains(&FromShim::TreeEmpty)
                {
                    return Ok::<(), String>(());
                }
            }
        };
        timeout(within, ended)
            .await
            .map_err(|_| "its shim does not answer".to_owned())??;
    }
    for exit in &welcome.exits {
        link.send(&ToShim::AckExit { id: exit.id })
            .map_err(failed)?;
    }
    link.send(&ToShim::Quit).map_err(failed)?;
    link.closed(Duration::from_secs(5)).await;
    Ok(())
}

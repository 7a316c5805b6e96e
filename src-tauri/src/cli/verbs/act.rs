//! `start`, `stop`, `restart`: return when it is done, telling the phases meanwhile on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use cockpit_model::{Action, Event, EventBody, Problem, Service};
use futures_util::{Stream, StreamExt};
use serde_json::json;

use crate::cli::args::Reading;
use crate::cli::client::{Client, Message, encode};
use crate::cli::failure::Done;
use crate::cli::style::{self, Style, Tone};

pub(in crate::cli) async fn start(reading: &Reading, name: &str) -> Done {
    act(reading, name, Action::Start).await
}

pub(in crate::cli) async fn stop(reading: &Reading, name: &str) -> Done {
    act(reading, name, Action::Stop).await
}

pub(in crate::cli) async fn restart(reading: &Reading, name: &str) -> Done {
    act(reading, name, Action::Restart).await
}

async fn act(reading: &Reading, name: &str, action: Action) -> Done {
    let client = reading.common.client()?;
    let path = format!("/api/services/{}/{}", encode(name), action.as_str());
    let begun = Instant::now();
    let service: Service = with_phases(&client, &path, Some(name)).await?;
    if reading.json {
        print_json(&service)?;
    } else {
        print_done(std::slice::from_ref(&service), begun)?;
    }
    Ok(())
}

pub(in crate::cli) async fn stop_all(reading: &Reading) -> Done {
    let client = reading.common.client()?;
    let begun = Instant::now();
    let services: Vec<Service> = with_phases(&client, "/api/stop-all", None).await?;
    if reading.json {
        print_json(&services)?;
    } else {
        print_done(&services, begun)?;
    }
    Ok(())
}

/// Has it done; meanwhile, on a terminal, tells how the service (or every one) changes its state.
async fn with_phases<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
    name: Option<&str>,
) -> Result<T, Problem> {
    if !io::stderr().is_terminal() {
        return client.post(path, &json!({})).await;
    }
    // Opened first, so that no phase is missed; without it the action works just as well.
    let phases = client.stream("/api/events/stream", None).await.ok();
    let mut phases = Box::pin(match phases {
        Some(phases) => phases.left_stream(),
        None => futures_util::stream::pending().right_stream(),
    });
    let body = json!({});
    let mut done = Box::pin(client.post(path, &body));
    loop {
        tokio::select! {
            done = &mut done => return done,
            () = tell_next(&mut phases, name) => {}
        }
    }
}

async fn tell_next(
    phases: &mut (impl Stream<Item = Result<Message, Problem>> + Unpin),
    name: Option<&str>,
) {
    let Some(Ok(message)) = phases.next().await else {
        // The stream ended; the action's own answer will say why.
        return std::future::pending().await;
    };
    if message.event != "instance_state" {
        return;
    }
    let Ok(event) = serde_json::from_str::<Event>(&message.data) else {
        return;
    };
    if let EventBody::InstanceState {
        service, to, cause, ..
    } = event.body
        && name.is_none_or(|name| name == service)
    {
        let style = Style::of(&io::stderr());
        let (symbol, tone) = style::of_state(to);
        let cause = style::printable(&cause, Style::PLAIN);
        // Progress is a courtesy: if it cannot be shown, the action goes on.
        let _ = writeln!(
            io::stderr(),
            "  {} {service} {} {}",
            style.paint(tone, symbol),
            style::words(to),
            style.paint(Tone::Faint, &cause)
        );
    }
}

fn print_json(answer: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, answer)?;
    writeln!(out)
}

fn print_done(services: &[Service], begun: Instant) -> io::Result<()> {
    let style = Style::of(&io::stdout());
    let mut out = io::stdout().lock();
    for service in services {
        let (symbol, tone) = style::of_state(service.state);
        let pids: Vec<String> = service
            .instances
            .iter()
            .filter_map(|instance| instance.pid)
            .map(|pid| format!("pid {pid}"))
            .collect();
        let took = match begun.elapsed() {
            short if short.as_secs() == 0 => format!("after {} ms", short.as_millis()),
            long => format!("after {:.1} s", long.as_secs_f64()),
        };
        let facts = [pids, vec![took]].concat().join(", ");
        writeln!(
            out,
            "{} {} is {} {}",
            style.paint(tone, symbol),
            service.name,
            style::words(service.state),
            style.paint(Tone::Faint, &format!("({facts})"))
        )?;
    }
    Ok(())
}

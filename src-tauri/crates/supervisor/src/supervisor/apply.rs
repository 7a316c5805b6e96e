//! New settings: services that come, go, and change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::Run;
use cockpit_model::{EventBody, ServiceSpec};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{Error, Supervisor, instances};
use crate::cell::{Cell, lock};
use crate::instance::{Command, Handle};
use crate::launch::fingerprint;
use crate::machine::words;
use crate::order;

/// After its grace a tree is killed; if it still is there so much later, it is given up.
const AFTER_GRACE: Duration = Duration::from_secs(30);
/// What a driver's tool may take to bring its service down.
const DRIVER_DOWN: Duration = Duration::from_secs(180);

/// What [`Supervisor::apply`] did, services by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// New ones, being started.
    pub started: Vec<String>,
    /// Those whose own settings changed, being restarted.
    pub restarted: Vec<String>,
    /// Those that left the configuration, stopped.
    pub removed: Vec<String>,
    /// Those whose settings changed in a way that a running process need not notice (limits, probes, order); not
    /// restarted.
    pub adjusted: Vec<String>,
    /// Those left alone.
    pub unchanged: Vec<String>,
}

impl Supervisor {
    /// Puts new settings in force: only services whose own settings changed restart, not their dependants; removed
    /// ones are stopped, new ones start. Returns when removed ones are gone; starting goes on.
    ///
    /// # Errors
    /// When the settings do not hold together; nothing was touched then.
    pub async fn apply(&self, specs: Vec<ServiceSpec>) -> Result<Changes, Error> {
        order::check(&specs).map_err(Error::Spec)?;
        let _one_at_a_time = self.inner.applying.lock().await;
        let shared = &self.inner.shared;
        shared.set_env(shared.parts.surroundings.environment().await);
        let mut changes = Changes::default();
        let kept: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        for level in self.levels().into_iter().rev() {
            let removed: Vec<_> = level
                .into_iter()
                .filter(|name| !kept.contains(name.as_str()))
                .collect();
            join_all(removed.iter().map(|name| self.retire(name))).await;
            changes.removed.extend(removed);
        }
        let (mut cells, mut new, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for spec in specs {
            let name = spec.name.clone();
            let Some(cell) = shared.cell(&name) else {
                if shared.parts.manual_stops.contains(&name) {
                    // It was stopped in a former life, and left the configuration since.
                    shared.forget(&name);
                }
                let cell = Arc::new(Cell::new(Arc::new(spec), false));
                new.push(Arc::clone(&cell));
                cells.push(cell);
                changes.started.push(name);
                continue;
            };
            let old = cell.spec();
            if *old == spec {
                changes.unchanged.push(name);
            } else {
                match fingerprint(&old) == fingerprint(&spec) {
                    true => changes.adjusted.push(name),
                    false => changes.restarted.push(name),
                }
                cell.set_spec(Arc::new(spec));
                changed.push(Arc::clone(&cell));
            }
            cells.push(cell);
        }
        shared.set_cells(cells);
        for cell in changed {
            self.end_roll(&cell);
            self.resize(&cell).await;
            self.renew(&cell).await;
        }
        for cell in new {
            let (own, _) = instances(shared, &cell, 0);
            lock(&self.inner.handles).insert(cell.name.clone(), own);
        }
        Ok(changes)
    }

    /// As many instances as the settings say; those that are too many are gone when this returns.
    async fn resize(&self, cell: &Arc<Cell>) {
        let count = usize::from(cell.spec().replicas.max(1));
        let surplus = {
            let mut handles = lock(&self.inner.handles);
            let own = handles.entry(cell.name.clone()).or_default();
            let surplus = own.split_off(count.min(own.len()));
            let (more, _) = instances(&self.inner.shared, cell, own.len());
            own.extend(more);
            surplus
        };
        self.retire_all(&cell.name, surplus, "it has fewer instances now")
            .await;
    }

    async fn retire(&self, name: &str) {
        lock(&self.inner.rolls).remove(name);
        let handles = lock(&self.inner.handles).remove(name).unwrap_or_default();
        self.retire_all(name, handles, "it left the configuration")
            .await;
        let shared = &self.inner.shared;
        // Should it be put back one day, it is a new one.
        if !shared.cell(name).is_some_and(|cell| cell.remembers(false)) {
            shared.forget(name);
        }
        let service = name.to_owned();
        shared.emit(EventBody::ServiceRemoved { service });
    }

    /// Ends instances of a service. One that does not end in time is told of and left: nobody waits for it for ever.
    pub(super) async fn retire_all(&self, name: &str, handles: Vec<Handle>, cause: &str) {
        let Some(cell) = self.inner.shared.cell(name) else {
            return;
        };
        let within = patience(&cell.spec());
        let ends = handles.into_iter().map(|handle| async move {
            tokio::time::timeout(within, retire(handle, cause))
                .await
                .is_ok()
        });
        if join_all(ends).await.contains(&false) {
            let message = format!(
                "{name} did not end within {}; what is left of it is left behind",
                words::span(within)
            );
            self.inner.shared.say("error", message);
        }
    }
}

/// How long the end of a service is waited for.
fn patience(spec: &ServiceSpec) -> Duration {
    let ending = match spec.run {
        // The driver's own tool may take long, and has a limit of its own.
        Run::Driver => spec.stop.grace.max(DRIVER_DOWN),
        Run::Process(_) | Run::Watch => spec.stop.grace,
    };
    ending.saturating_add(AFTER_GRACE)
}

async fn retire(handle: Handle, cause: &str) {
    let (reply, done) = oneshot::channel();
    let cause = cause.to_owned();
    handle.ask(Command::Retire { cause, reply }).await;
    let _ = done.await;
}

//! What all instances of one supervisor share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cockpit_model::{EventBody, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cell::{Cell, lock};
use crate::machine::{Held, Moment};
use crate::ports::Ports;
use crate::probe::Http;
use crate::seams::Parts;
use cockpit_model::InstanceState;

/// Changes of views are gathered for so long before they are told.
const GATHER: Duration = Duration::from_millis(200);

pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) shim_exe: PathBuf,
    pub(crate) http: Arc<Http>,
    pub(crate) ports: Ports,
    origin: Instant,
    env: Mutex<Arc<BTreeMap<String, String>>>,
    cells: Mutex<Vec<Arc<Cell>>>,
    changed: watch::Sender<u64>,
    dirty: Notify,
}

impl Shared {
    pub(crate) fn new(parts: Parts, shim_exe: PathBuf, env: Arc<BTreeMap<String, String>>) -> Self {
        Self {
            parts,
            shim_exe,
            http: Arc::default(),
            ports: Ports::default(),
            origin: Instant::now(),
            env: Mutex::new(env),
            cells: Mutex::default(),
            changed: watch::Sender::new(0),
            dirty: Notify::new(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment {
            mono: self.origin.elapsed(),
            wall: Timestamp::now(),
        }
    }

    /// A machine's deadline on the runtime's clock.
    pub(crate) fn instant(&self, mono: Duration) -> Instant {
        self.origin + mono
    }

    pub(crate) fn env(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&lock(&self.env))
    }

    pub(crate) fn set_env(&self, env: Arc<BTreeMap<String, String>>) {
        *lock(&self.env) = env;
    }

    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        lock(&self.cells).clone()
    }

    pub(crate) fn set_cells(&self, cells: Vec<Arc<Cell>>) {
        *lock(&self.cells) = cells;
        self.state_changed();
    }

    pub(crate) fn cell(&self, name: &str) -> Option<Arc<Cell>> {
        let cells = lock(&self.cells);
        cells.iter().find(|cell| cell.name == name).cloned()
    }

    pub(crate) fn emit(&self, event: EventBody) {
        (self.parts.events)(event);
    }

    /// Remembers that a person stopped a service, or started it again. What cannot be written down holds until the
    /// engine ends, and is told: in the service's cause, and as an event.
    pub(crate) fn remember(&self, cell: &Cell, stopped: bool) {
        let written = self.parts.memory.set_manual_stop(&cell.name, stopped);
        let forgotten = written.err().map(|why| match stopped {
            true => format!(
                "but this could not be remembered ({why}): it will start again with the cockpit"
            ),
            false => format!(
                "but that it was started again could not be remembered ({why}): it will stay stopped when the cockpit starts"
            ),
        });
        if let Some(forgotten) = &forgotten {
            let done = if stopped { "stopped" } else { "started" };
            self.say(
                "warning",
                format!("{} was {done} by hand, {forgotten}", cell.name),
            );
        }
        cell.set_manual_stop(stopped, forgotten);
    }

    /// Forgets that a service that is no longer configured was stopped by hand.
    pub(crate) fn forget(&self, name: &str) {
        if let Err(why) = self.parts.memory.set_manual_stop(name, false) {
            self.say(
                "warning",
                format!(
                    "that {name} was stopped by hand could not be forgotten ({why}): put back while the cockpit does not run, it would stay stopped"
                ),
            );
        }
    }

    /// Tells of trouble: in our own log, and as an event.
    pub(crate) fn say(&self, level: &str, message: String) {
        match level {
            "error" => tracing::error!("{message}"),
            _ => tracing::warn!("{message}"),
        }
        self.emit(EventBody::Cockpit {
            level: level.to_owned(),
            message,
        });
    }

    /// Some instance's state changed: dependants look again.
    pub(crate) fn state_changed(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A view changed and may be told when it is convenient.
    pub(crate) fn view_changed(&self) {
        self.dirty.notify_one();
    }

    /// Tells views that changed, for ever: at most once a second each.
    pub(crate) async fn publish(self: Arc<Self>) {
        loop {
            self.dirty.notified().await;
            tokio::time::sleep(GATHER).await;
            let mut left = false;
            for cell in self.cells() {
                left |= cell.tell(&self.parts.events, false);
            }
            if left {
                self.dirty.notify_one();
            }
        }
    }

    /// Whether what a service depends on lets it start.
    pub(crate) fn gate(&self, depends_on: &[String]) -> Result<(), Held> {
        let mut who = Vec::new();
        let mut hopeless = None;
        for name in depends_on {
            let Some(cell) = self.cell(name) else {
                continue;
            };
            if cell.is_reliable() {
                continue;
            }
            let view = cell.view();
            let state = match view.state {
                InstanceState::Unknown => "not known yet".to_owned(),
                state => state.as_str().replace('_', " "),
            };
            who.push(format!("{name} ({state})"));
            let remedy = match view.state {
                InstanceState::Stopped => format!("start {name} first"),
                InstanceState::Missing | InstanceState::CrashLooping => {
                    format!("mend {name} first: {}", view.cause)
                }
                _ => continue,
            };
            hopeless.get_or_insert(remedy);
        }
        match who.is_empty() {
            true => Ok(()),
            false => Err(Held {
                who: who.join(", "),
                hopeless,
            }),
        }
    }
}

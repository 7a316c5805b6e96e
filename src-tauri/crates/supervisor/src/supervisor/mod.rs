//! The public handle: every service by name, in order.

mod apply;
mod read;
mod roll;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cockpit_model::host::InstanceUse;
use cockpit_model::spec::Run;
use cockpit_model::{Action, Code, Problem, Service, ServiceSpec};
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::cell::{Cell, Standing, Trouble, lock};
use crate::instance::{Command, Handle, Reply, strays};
use crate::launch;
use crate::machine::By;
use crate::open_files;
use crate::order;
use crate::seams::Parts;
use crate::seat;
use crate::shared::Shared;

pub use apply::Changes;

/// Why the supervisor could not start. Nothing was started or touched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file of our own cannot be used.
    #[error(
        "cannot {what} {path}: {source}; check that the data folder is writable and the disk is not full"
    )]
    Io {
        /// `create`, `read`, `write`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A socket in the run folder would be too long for the system.
    #[error(
        "the run folder {path} is too long: a socket in it would have {bytes} bytes of the 104 there may be; choose a shorter data folder"
    )]
    RunDirTooLong {
        /// The folder.
        path: PathBuf,
        /// What a socket in it would need.
        bytes: usize,
    },
    /// The settings do not hold together.
    #[error("{0}")]
    Spec(String),
}

/// A process we run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// The service.
    pub service: String,
    /// Its instance.
    pub instance: u16,
    /// The leader of its tree.
    pub pid: u32,
    /// Its shim, where it has one (watched and foreign processes have none).
    pub shim_pid: Option<u32>,
}

/// The supervisor's handle; cheap to clone. When the last one is dropped, the services run on.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    handles: Mutex<BTreeMap<String, Vec<Handle>>>,
    /// The newest roll of each service, under way or over.
    rolls: Mutex<BTreeMap<String, AbortOnDropHandle<()>>>,
    adopted: u32,
    applying: tokio::sync::Mutex<()>,
    _publisher: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// Copies the shim, finds running services again, starts the others in order. Returns as soon as it is known
    /// what runs; starting goes on.
    ///
    /// Raises this process's soft limit of open files: every instance takes a connection, its probes more. Shims and
    /// services inherit the raised limit; one that needs a smaller one lowers it itself (`ulimit -n`).
    ///
    /// # Errors
    /// When a folder of ours cannot be used or the settings do not hold together; nothing was touched then.
    pub async fn start(parts: Parts, specs: Vec<ServiceSpec>) -> Result<Self, Error> {
        order::check(&specs).map_err(Error::Spec)?;
        open_files::raise_limit();
        seat::prepare(&parts.run_dir)?;
        seat::make_folder(&parts.log_dir)?;
        let (shim, run_dir) = (parts.shim.clone(), parts.run_dir.clone());
        let copied = tokio::task::spawn_blocking(move || seat::copy_shim(&shim, &run_dir)).await;
        let shim = copied.map_err(|e| Error::Spec(e.to_string()))??;
        let env = parts.surroundings.environment().await;
        let shared = Arc::new(Shared::new(parts, shim, env));
        let cells: Vec<_> = specs
            .into_iter()
            .map(|spec| {
                let stopped = shared.parts.manual_stops.contains(&spec.name);
                Arc::new(Cell::new(Arc::new(spec), stopped))
            })
            .collect();
        shared.set_cells(cells.clone());
        strays::end(&shared, &cells);
        let mut handles = BTreeMap::new();
        let mut looks = Vec::new();
        for cell in cells {
            let (own, found) = instances(&shared, &cell, 0);
            handles.insert(cell.name.clone(), own);
            looks.extend(found);
        }
        let found = join_all(looks).await;
        let adopted = found.into_iter().filter(|found| *found == Ok(true)).count();
        let publisher = tokio::spawn(Arc::clone(&shared).publish());
        let supervisor = Self {
            inner: Arc::new(Inner {
                shared,
                handles: Mutex::new(handles),
                rolls: Mutex::default(),
                adopted: u32::try_from(adopted).unwrap_or(u32::MAX),
                applying: tokio::sync::Mutex::new(()),
                _publisher: AbortOnDropHandle::new(publisher),
            }),
        };
        // What was found running may have been started with other settings.
        for cell in supervisor.inner.shared.cells() {
            supervisor.renew(&cell).await;
        }
        Ok(supervisor)
    }

    /// Every service, in the configuration's order. Never waits.
    pub fn services(&self) -> Vec<Service> {
        self.inner
            .shared
            .cells()
            .iter()
            .map(|cell| cell.view())
            .collect()
    }

    /// One service. Never waits.
    pub fn service(&self, name: &str) -> Option<Service> {
        Some(self.inner.shared.cell(name)?.view())
    }

    /// A service's state, cause and port, at less cost than the whole of it. Never waits.
    pub fn standing(&self, name: &str) -> Option<Standing> {
        Some(self.inner.shared.cell(name)?.standing())
    }

    /// Every service's name, in the configuration's order. Never waits.
    pub fn names(&self) -> Vec<String> {
        let cells = self.inner.shared.cells();
        cells.iter().map(|cell| cell.name.clone()).collect()
    }

    /// A service's settings, with the address that its first instance itself is at.
    pub fn resolved(&self, name: &str) -> Option<ServiceSpec> {
        let cell = self.inner.shared.cell(name)?;
        Some(launch::resolved(&cell.spec(), cell.standing().port))
    }

    /// What is wrong with a service although its probes pass: it is shown as degraded for as long. Its dependants and
    /// its restarts go by the probes alone.
    pub fn set_trouble(&self, name: &str, trouble: Option<Trouble>) {
        let Some(cell) = self.inner.shared.cell(name) else {
            return;
        };
        if cell.set_trouble(trouble) && cell.tell(&self.inner.shared.parts.events, true) {
            self.inner.shared.view_changed();
        }
    }

    /// Does it, and resolves when it is done: started = ready, stopped = its tree is gone. A restart of a service with
    /// several instances takes one after the other. Dropping the future does not undo what has begun.
    ///
    /// # Errors
    /// [`Code::UnknownService`]; [`Code::NotSupported`] for what is only watched; [`Code::NotOurs`] for what somebody
    /// else runs; [`Code::PortConflict`], [`Code::CommandMissing`], [`Code::ActionFailed`] when it cannot be done.
    pub async fn act(&self, name: &str, action: Action) -> Result<Service, Problem> {
        let cell = self.cell(name)?;
        if cell.spec().run == Run::Watch {
            let problem = format!(
                "{name} is only watched and cannot be told to {}",
                action.as_str().replace('_', " ")
            );
            return Err(Problem::new(Code::NotSupported, problem));
        }
        let command = move |reply| match action {
            Action::Start => Command::Start {
                by: By::Hand,
                reply: Some(reply),
            },
            Action::Stop => Command::Stop {
                by: By::Hand,
                cause: "stopped by hand".to_owned(),
                reply: Some(reply),
            },
            Action::Restart => Command::Restart {
                by: By::Hand,
                cause: "restarted by hand".to_owned(),
                reply: Some(reply),
            },
            Action::TakeOver => Command::TakeOver { reply },
        };
        match action {
            Action::Restart => self.restart_in_turn(&cell, command).await?,
            Action::Start | Action::Stop | Action::TakeOver => {
                if action == Action::Stop {
                    self.end_roll(&cell);
                }
                let handles = self.handles(name);
                let answers = join_all(handles.iter().map(|handle| ask(handle, &command))).await;
                answers.into_iter().collect::<Result<(), _>>()?;
            }
        }
        Ok(cell.view())
    }

    /// Stops every service, dependants first, each remembered as stopped by hand. What others run is left alone.
    ///
    /// # Errors
    /// The first service that could not be stopped; the others were.
    pub async fn stop_all(&self) -> Result<Vec<Service>, Problem> {
        let mut first = Ok(());
        for level in self.levels().into_iter().rev() {
            let stops = level.iter().map(|name| self.act(name, Action::Stop));
            for answer in join_all(stops).await {
                match answer {
                    Err(problem) if !matches!(problem.code, Code::NotSupported | Code::NotOurs) => {
                        first = first.and(Err(problem));
                    }
                    _ => {}
                }
            }
        }
        first.map(|()| self.services())
    }

    /// The machine slept: for a while failed probes change nothing.
    pub fn woke(&self, slept: Duration) {
        tracing::info!(
            "the machine slept for {}",
            crate::machine::words::span(slept)
        );
        for handle in self.all_handles() {
            handle.offer(Command::Woke);
        }
    }

    /// The processes we run, for the sampling of their use.
    pub fn processes(&self) -> Vec<Tracked> {
        let mut tracked = Vec::new();
        for cell in self.inner.shared.cells() {
            if !matches!(cell.spec().run, Run::Process(_)) {
                continue;
            }
            for slot in cell.slots().into_iter().filter(|slot| !slot.external) {
                if let Some(pid) = slot.instance.pid {
                    tracked.push(Tracked {
                        service: cell.name.clone(),
                        instance: slot.instance.index,
                        pid,
                        shim_pid: slot.shim_pid,
                    });
                }
            }
        }
        tracked
    }

    /// What they use; feeds the views and the memory limits.
    pub fn usage(&self, uses: Vec<InstanceUse>) {
        for one in uses {
            let Some(cell) = self.inner.shared.cell(&one.service) else {
                continue;
            };
            cell.set_usage(one.instance, one.cpu_percent, one.memory_bytes);
            if cell.spec().limits.memory.is_some() {
                let handle = self
                    .handles(&one.service)
                    .into_iter()
                    .nth(usize::from(one.instance));
                if let Some(handle) = handle {
                    handle.offer(Command::Memory {
                        bytes: one.memory_bytes,
                    });
                }
            }
        }
        self.inner.shared.view_changed();
    }

    /// Has the service's driver look at it now (after a model was unloaded, say), and resolves when its view shows it.
    pub async fn inspect_now(&self, name: &str) -> Option<Service> {
        let cell = self.inner.shared.cell(name)?;
        let (reply, done) = oneshot::channel();
        let first = self.handles(name).into_iter().next()?;
        first.ask(Command::Inspect { reply }).await;
        let _ = done.await;
        Some(cell.view())
    }

    /// Lets go of everything: the services run on, or, if told so, are stopped, dependants first, and their shims
    /// end. What outlives even SIGKILL for long is told of and left behind. The handle is of no use afterwards.
    pub async fn shutdown(&self, stop_services: bool) {
        if stop_services {
            for level in self.levels().into_iter().rev() {
                let cause = "stopped with the cockpit";
                let ends = level
                    .iter()
                    .map(|name| self.retire_all(name, self.handles(name), cause));
                join_all(ends).await;
            }
        } else {
            join_all(self.all_handles().into_iter().map(|handle| async move {
                let (reply, done) = oneshot::channel();
                handle.ask(Command::Detach { reply }).await;
                let _ = done.await;
            }))
            .await;
        }
        lock(&self.inner.rolls).clear();
        lock(&self.inner.handles).clear();
    }

    /// How many running processes were found again at the start.
    pub fn adopted(&self) -> u32 {
        self.inner.adopted
    }

    fn cell(&self, name: &str) -> Result<Arc<Cell>, Problem> {
        self.inner.shared.cell(name).ok_or_else(|| {
            Problem::new(Code::UnknownService, "no service has that name")
                .remedy("see the list of services for their names")
        })
    }

    fn handles(&self, name: &str) -> Vec<Handle> {
        lock(&self.inner.handles)
            .get(name)
            .cloned()
            .unwrap_or_default()
    }

    fn all_handles(&self) -> Vec<Handle> {
        lock(&self.inner.handles)
            .values()
            .flatten()
            .cloned()
            .collect()
    }

    fn levels(&self) -> Vec<Vec<String>> {
        let specs: Vec<_> = self
            .inner
            .shared
            .cells()
            .iter()
            .map(|cell| cell.spec())
            .collect();
        order::levels(specs.iter().map(AsRef::as_ref))
    }
}

/// The tasks of a service's instances from the `first` on.
fn instances(
    shared: &Arc<Shared>,
    cell: &Arc<Cell>,
    first: usize,
) -> (Vec<Handle>, Vec<oneshot::Receiver<bool>>) {
    (0..cell.spec().replicas.max(1))
        .skip(first)
        .map(|index| Handle::spawn(Arc::clone(shared), Arc::clone(cell), index))
        .unzip()
}

async fn ask(handle: &Handle, command: &impl Fn(Reply) -> Command) -> Result<(), Problem> {
    let (reply, done) = oneshot::channel();
    handle.ask(command(reply)).await;
    done.await.unwrap_or_else(|_| {
        Err(Problem::new(
            Code::ActionFailed,
            "the service left the configuration meanwhile",
        ))
    })
}

//! The public handle: every service by name, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cockpit_model::host::InstanceUse;
use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::spec::Run;
use cockpit_model::{Action, Code, EventBody, Problem, Service, ServiceSpec};
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::cell::{Cell, lock};
use crate::instance::{Command, Handle, strays};
use crate::launch::{fingerprint, log_spec};
use crate::logs::{self, Source};
use crate::machine::By;
use crate::open_files;
use crate::order;
use crate::seams::{Driver, Parts};
use crate::seat;
use crate::shared::Shared;

/// After its grace a tree is killed; if it still is there so much later, it is given up.
const AFTER_GRACE: Duration = Duration::from_secs(30);
/// What a driver's tool may take to bring its service down.
const DRIVER_DOWN: Duration = Duration::from_secs(180);

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
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                handles: Mutex::new(handles),
                adopted: u32::try_from(adopted).unwrap_or(u32::MAX),
                applying: tokio::sync::Mutex::new(()),
                _publisher: AbortOnDropHandle::new(publisher),
            }),
        })
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
        let handles = self.handles(name);
        let by = By::Hand;
        let command = |reply| match action {
            Action::Start => Command::Start {
                by: by.clone(),
                reply: Some(reply),
            },
            Action::Stop => Command::Stop {
                by: by.clone(),
                cause: "stopped by hand".to_owned(),
                reply: Some(reply),
            },
            Action::Restart => Command::Restart {
                by: by.clone(),
                cause: "restarted by hand".to_owned(),
                reply: Some(reply),
            },
            Action::TakeOver => Command::TakeOver { reply },
        };
        if action == Action::Restart {
            for handle in handles {
                ask(handle, command).await?;
            }
        } else {
            let answers = join_all(handles.into_iter().map(|handle| ask(handle, command))).await;
            answers.into_iter().collect::<Result<(), _>>()?;
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
        let (mut cells, mut new, mut reconfigured) = (Vec::new(), Vec::new(), Vec::new());
        for spec in specs {
            let name = spec.name.clone();
            let Some(cell) = shared.cell(&name) else {
                if shared.parts.manual_stops.contains(&name) {
                    // It was stopped in a former life, and left the configuration since.
                    shared.parts.memory.set_manual_stop(&name, false);
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
                let restart = fingerprint(&old) != fingerprint(&spec);
                let list = if restart {
                    &mut changes.restarted
                } else {
                    &mut changes.adjusted
                };
                list.push(name);
                cell.set_spec(Arc::new(spec));
                reconfigured.push((Arc::clone(&cell), restart));
            }
            cells.push(cell);
        }
        shared.set_cells(cells);
        for (cell, restart) in reconfigured {
            self.resize(&cell).await;
            for handle in self.handles(&cell.name) {
                handle.ask(Command::Reconfigure { restart }).await;
            }
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
        let handles = lock(&self.inner.handles).remove(name).unwrap_or_default();
        self.retire_all(name, handles, "it left the configuration")
            .await;
        // Should it be put back one day, it is a new one.
        let memory = &self.inner.shared.parts.memory;
        memory.set_manual_stop(name, false);
        let service = name.to_owned();
        self.inner
            .shared
            .emit(EventBody::ServiceRemoved { service });
    }

    /// Ends instances of a service. One that does not end in time is told of and left: nobody waits for it for ever.
    async fn retire_all(&self, name: &str, handles: Vec<Handle>, cause: &str) {
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
                crate::machine::words::span(within)
            );
            tracing::error!("{message}");
            let level = "error".to_owned();
            self.inner
                .shared
                .emit(EventBody::Cockpit { level, message });
        }
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

    /// The last lines that match, oldest first, all instances merged by time.
    ///
    /// # Errors
    /// [`Code::UnknownService`], [`Code::Storage`], or what the driver says.
    pub async fn logs(&self, name: &str, query: LogQuery) -> Result<Vec<LogLine>, Problem> {
        let cell = self.cell(name)?;
        match self.foreign_log(&cell) {
            Some(driver) => driver.logs(query).await,
            None => logs::last(self.sources(&cell, &query), query).await,
        }
    }

    /// The same, and then every further line as it is written. Ended by dropping the stream.
    ///
    /// # Errors
    /// As [`Self::logs`].
    pub async fn follow(
        &self,
        name: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, Problem> {
        let cell = self.cell(name)?;
        match self.foreign_log(&cell) {
            Some(driver) => driver.follow(query).await,
            None => logs::follow(self.sources(&cell, &query), query).await,
        }
    }

    /// Who has the log of what we do not run ourselves.
    fn foreign_log(&self, cell: &Cell) -> Option<Arc<dyn Driver>> {
        let spec = cell.spec();
        let foreign =
            !matches!(spec.run, Run::Process(_)) || cell.slots().iter().any(|slot| slot.external);
        if foreign {
            (self.inner.shared.parts.drivers)(&spec)
        } else {
            None
        }
    }

    fn sources(&self, cell: &Cell, query: &LogQuery) -> Vec<Source> {
        let spec = cell.spec();
        (0..spec.replicas.max(1))
            .filter(|index| query.instance.is_none_or(|wanted| wanted == *index))
            .map(|instance| Source {
                instance,
                path: log_spec(&self.inner.shared.parts.log_dir, &spec, instance).path,
            })
            .collect()
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

async fn ask(
    handle: Handle,
    command: impl Fn(crate::instance::Reply) -> Command,
) -> Result<(), Problem> {
    let (reply, done) = oneshot::channel();
    handle.ask(command(reply)).await;
    done.await.unwrap_or_else(|_| {
        Err(Problem::new(
            Code::ActionFailed,
            "the service left the configuration meanwhile",
        ))
    })
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

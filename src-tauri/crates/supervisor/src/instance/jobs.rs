//! What takes time: each a future of the actor's own, whose outcome comes back as [`Done`].

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::{Kind, Run};
use cockpit_model::{Code, Exit, Owner, PortHolder, Problem, Timestamp};
use cockpit_shim::tree::Identity;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Actor, HOLDER_EVERY, INSPECT_EVERY, Reply};
use crate::cell::Facts;
use crate::launch::stop_spec;
use crate::machine::{By, Input, SpawnFailure};
use crate::ports;
use crate::probe;
use crate::seams::Observation;
use crate::seat::Seat;
use crate::shim_link::{self, Link, SILENCE, StopSpec, Welcome, find};

/// A driver's look takes at most this.
const INSPECT_WITHIN: Duration = Duration::from_secs(10);
/// A foreign process that was taken over lets go of its port within this.
const RELEASE_WITHIN: Duration = Duration::from_secs(15);

/// What a job came to.
pub(super) enum Done {
    Opened(io::Result<(Link, Welcome)>),
    Reconnected(Result<(Link, Welcome), String>),
    Recovered(Result<(), String>),
    Closed,
    Held {
        holder: Option<PortHolder>,
        stands_in: bool,
    },
    Up(Result<(), Problem>),
    Down(Result<(), Problem>),
    Inspected(Box<Observation>),
    FirstLook(Box<Observation>),
    Owner(Option<PortHolder>),
    TakenOver {
        reply: Reply,
        outcome: Result<(), Problem>,
    },
}

impl Actor {
    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Opened(opened) => self.on_opened(opened),
            Done::Reconnected(outcome) => self.on_reconnected(outcome),
            Done::Recovered(outcome) => self.recovered(outcome),
            Done::Closed => {
                if self.closing.take() == Some(true) {
                    self.spawn_process();
                    self.feed(Input::Tick);
                }
            }
            Done::Held { holder, stands_in } => {
                self.holder.clone_from(&holder);
                let failure = match self.port {
                    Some(port) => SpawnFailure::PortHeld {
                        port,
                        holder,
                        stands_in,
                    },
                    // New settings took the port away while its holder was asked for.
                    None => SpawnFailure::Other(self.lost_its_port()),
                };
                self.feed(Input::SpawnFailed(failure));
                self.holder_at = self
                    .machine
                    .external()
                    .map(|_| Instant::now() + HOLDER_EVERY);
            }
            Done::Up(Ok(())) => self.feed(Input::Spawned {
                pid: None,
                started_at: Timestamp::now(),
                uptime: Duration::ZERO,
                adopted: false,
            }),
            Done::Up(Err(problem)) => self.feed(Input::SpawnFailed(SpawnFailure::Other(problem))),
            Done::Down(outcome) => {
                self.stop_problem = outcome.err();
                if let Some(problem) = &self.stop_problem {
                    self.shared
                        .say("warning", format!("{}: {problem}", self.spec.name));
                }
                self.feed(Input::TreeEmpty);
            }
            Done::Inspected(observation) => {
                self.inspecting = false;
                self.on_observed(*observation);
            }
            Done::FirstLook(observation) => {
                self.inspecting = false;
                let runs = matches!(observation.ready, Some(Ok(())));
                self.show_facts(&observation);
                if runs && self.machine.is_off() && !self.cell.manual_stop() {
                    self.feed(Input::Spawned {
                        pid: None,
                        started_at: Timestamp::now(),
                        uptime: Duration::from_millis(1),
                        adopted: true,
                    });
                } else {
                    self.start_as_configured();
                }
            }
            Done::Owner(holder) => {
                if let Some(holder) = holder {
                    // What one of our own services listens on is ours, whichever process of its
                    // tree it is.
                    let port = self.watched_port();
                    let ours = self.shared.cells().into_iter().any(|cell| {
                        let spec = cell.spec();
                        matches!(spec.run, Run::Process(_)) && spec.listen_port() == port
                    });
                    let (owner, detail) = match ours {
                        true => (Owner::Cockpit, None),
                        false => (holder.owner, Some(crate::machine::words::named(&holder))),
                    };
                    self.cell.set_facts(Facts {
                        owner: Some(owner),
                        owner_detail: detail,
                        ..self.cell.facts()
                    });
                }
            }
            Done::TakenOver {
                reply,
                outcome: Err(problem),
            } => {
                let _ = reply.send(Err(problem));
            }
            Done::TakenOver {
                reply,
                outcome: Ok(()),
            } => {
                self.holder = None;
                self.remember(&By::Hand, false);
                self.feed(Input::HolderGone);
                let ticket = self.ticket(Some(reply));
                self.feed(Input::Start {
                    by: By::Hand,
                    ticket,
                });
            }
        }
    }

    pub(super) fn open_shim(&mut self) {
        let (exe, seat) = (self.shared.shim_exe.clone(), self.seat.clone());
        let (name, stop) = (self.spec.name.clone(), stop_spec(&self.spec));
        let folder = self.log_spec().path.parent().map(std::path::Path::to_owned);
        self.jobs.push(Box::pin(async move {
            if let Some(folder) = folder
                && let Err(error) = crate::seat::make_folder(&folder)
            {
                return Done::Opened(Err(io::Error::other(error.to_string())));
            }
            if seat.is_taken() {
                if let Some(open) = find(&seat).await {
                    return Done::Opened(Ok(open));
                }
                if let Err(why) = recover_blocking(seat.clone(), stop).await {
                    return Done::Opened(Err(io::Error::other(why)));
                }
            }
            Done::Opened(Link::launch(&exe, &seat, &name).await)
        }));
    }

    /// The connection broke: the shim may be dying, dead, or only have dropped us.
    pub(super) fn reconnect(&mut self, shim: Identity) {
        let seat = self.seat.clone();
        self.jobs.push(Box::pin(async move {
            let give_up = Instant::now() + SILENCE;
            while Instant::now() < give_up {
                if shim_link::is_dead(shim) {
                    return Done::Reconnected(Err("it was killed".to_owned()));
                }
                match Link::connect(&seat).await {
                    Ok(open) => return Done::Reconnected(Ok(open)),
                    Err(e) if e.kind() == io::ErrorKind::TimedOut => shim_link::wake(&seat),
                    Err(_) => {}
                }
                sleep(Duration::from_millis(25)).await;
            }
            Done::Reconnected(Err("it does not answer".to_owned()))
        }));
    }

    /// Carries out [`crate::machine::Effect::RecoverTree`].
    pub(super) fn recover(&mut self, after: Duration) {
        self.link = None;
        self.watchdog = None;
        let (seat, stop) = (self.seat.clone(), stop_spec(&self.spec));
        self.jobs.push(Box::pin(async move {
            sleep(after).await;
            Done::Recovered(recover_blocking(seat, stop).await)
        }));
    }

    fn lost_its_port(&self) -> Problem {
        let name = &self.spec.name;
        Problem::new(
            Code::ActionFailed,
            format!("{name}: its port changed while it was starting"),
        )
    }

    /// The port is taken: by whom, and does it serve in our place?
    pub(super) fn ask_holder(&mut self) {
        let Some(port) = self.port else {
            let problem = self.lost_its_port();
            self.spawn_failed(problem);
            return;
        };
        let shared = Arc::clone(&self.shared);
        let program = self.launch.command().into_iter().next().unwrap_or_default();
        let (spec, around) = (self.spec.clone(), self.probe_surroundings(Timestamp::now()));
        self.jobs.push(Box::pin(async move {
            let holder = shared.parts.surroundings.port_holder(port).await;
            let same = holder
                .as_ref()
                .is_some_and(|holder| is_same_program(spec.kind, &program, &holder.name));
            let stands_in = same
                && match &spec.ready {
                    Some(probe) => probe::ask(probe, &around).await.outcome.is_ok(),
                    None => true,
                };
            Done::Held { holder, stands_in }
        }));
    }

    pub(super) fn look_at_holder(&mut self) {
        if self.machine.external().is_none() {
            self.holder_at = None;
        } else if self.port_is_taken() {
            self.holder_at = Some(Instant::now() + HOLDER_EVERY);
        } else {
            self.holder_at = None;
            self.holder = None;
            self.feed(Input::HolderGone);
        }
    }

    pub(super) fn take_over_from(&mut self, holder: PortHolder, reply: Reply) {
        let shared = Arc::clone(&self.shared);
        let Some(port) = self.port else { return };
        let listen = self.spec.listen.clone();
        let name = self.spec.name.clone();
        self.jobs.push(Box::pin(async move {
            let mut outcome = shared.parts.surroundings.take_over(port, holder).await;
            if outcome.is_ok() {
                outcome = released(port, listen.as_deref(), &name).await;
            }
            Done::TakenOver { reply, outcome }
        }));
    }

    pub(super) fn driver_up(&mut self) {
        let driver = self.driver.clone();
        let name = self.spec.name.clone();
        self.jobs.push(Box::pin(async move {
            Done::Up(
                apart(async move {
                    match driver {
                        Some(driver) => driver.up().await,
                        None => Err(no_driver(&name)),
                    }
                })
                .await
                .unwrap_or_else(|| Err(defect())),
            )
        }));
    }

    pub(super) fn driver_down(&mut self) {
        let driver = self.driver.clone();
        let name = self.spec.name.clone();
        self.jobs.push(Box::pin(async move {
            Done::Down(
                apart(async move {
                    match driver {
                        Some(driver) => driver.down().await,
                        None => Err(no_driver(&name)),
                    }
                })
                .await
                .unwrap_or_else(|| Err(defect())),
            )
        }));
    }

    /// Has the driver look, in a task of its own: whatever it does, no probe waits for it.
    pub(super) fn inspect(&mut self) {
        let Some(driver) = self.driver.clone() else {
            return;
        };
        if std::mem::replace(&mut self.inspecting, true) {
            return;
        }
        self.inspect_at = self.inspect_at.map(|_| Instant::now() + INSPECT_EVERY);
        self.jobs.push(Box::pin(async move {
            Done::Inspected(Box::new(look(driver).await))
        }));
    }

    /// Before a driver's service is brought up: it may be up already.
    pub(super) fn first_look(&mut self) {
        let Some(driver) = self.driver.clone() else {
            self.start_as_configured();
            return;
        };
        self.inspecting = true;
        self.jobs.push(Box::pin(async move {
            Done::FirstLook(Box::new(look(driver).await))
        }));
    }

    fn on_observed(&mut self, observation: Observation) {
        self.driver_judges = observation.ready.is_some();
        self.show_facts(&observation);
        let containers = observation
            .detail
            .as_ref()
            .map(|detail| detail.containers.as_slice())
            .unwrap_or_default();
        let dead = !containers.is_empty()
            && containers
                .iter()
                .all(|c| c.state != "running" && c.state != "restarting");
        if dead && self.spec.run == Run::Driver {
            let exit = Exit {
                code: None,
                signal: None,
                at: Timestamp::now(),
                last_lines: observation
                    .ready
                    .and_then(Result::err)
                    .into_iter()
                    .collect(),
            };
            self.feed(Input::Exited {
                exit,
                tree_empty: true,
            });
        } else {
            self.feed(Input::Observed(observation.ready));
        }
        for reply in std::mem::take(&mut self.waiting_inspections) {
            self.publish();
            let _ = reply.send(());
        }
    }

    fn show_facts(&self, observation: &Observation) {
        let old = self.cell.facts();
        self.cell.set_facts(Facts {
            version: observation.version.clone().or(old.version),
            detail: observation.detail.clone(),
            owner: observation.owner.or(old.owner),
            owner_detail: observation.owner_detail.clone().or(old.owner_detail),
        });
    }

    /// Who runs what is only watched, if it is on this machine.
    pub(super) fn look_at_owner(&mut self) {
        if self.spec.run != Run::Watch {
            return;
        }
        let Some(port) = self.watched_port() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        self.jobs.push(Box::pin(async move {
            Done::Owner(shared.parts.surroundings.port_holder(port).await)
        }));
    }

    /// The loopback port that a watched service is at.
    fn watched_port(&self) -> Option<u16> {
        use cockpit_model::spec::ProbeCheck;
        let address = match (
            &self.spec.listen,
            self.spec.ready.as_ref().map(|p| &p.check),
        ) {
            (Some(listen), _) | (None, Some(ProbeCheck::Tcp(listen))) => listen.clone(),
            (None, Some(check @ (ProbeCheck::Http(_) | ProbeCheck::Postgres(_)))) => {
                let target = probe::target(check, None);
                target.split_once("://")?.1.split('/').next()?.to_owned()
            }
            _ => return None,
        };
        let (host, port) = address.rsplit_once(':')?;
        let loopback = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        if loopback { port.parse().ok() } else { None }
    }
}

async fn look(driver: Arc<dyn crate::seams::Driver>) -> Observation {
    let looking = apart(async move { driver.inspect().await });
    let looked = timeout(INSPECT_WITHIN, looking).await;
    match looked {
        Ok(Some(observation)) => observation,
        Ok(None) => Observation::default(),
        Err(_) => Observation {
            ready: Some(Err("no answer within 10 s".to_owned())),
            ..Observation::default()
        },
    }
}

/// Runs it in a task of its own, ended with this future; `None` if it broke down.
async fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    AbortOnDropHandle::new(tokio::spawn(work)).await.ok()
}

fn no_driver(name: &str) -> Problem {
    Problem::new(Code::Internal, format!("{name} has no driver"))
}

fn defect() -> Problem {
    Problem::new(Code::Internal, "the driver broke down")
}

async fn released(port: u16, listen: Option<&str>, name: &str) -> Result<(), Problem> {
    let ip = ports::ip_of(listen.unwrap_or("127.0.0.1"));
    let give_up = Instant::now() + RELEASE_WITHIN;
    while ports::is_taken(ip, port) {
        if Instant::now() >= give_up {
            return Err(Problem::new(
                Code::PortConflict,
                format!("{name}: port {port} is still held"),
            )
            .remedy("its owner may start it again by itself: turn that off, then try again"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

pub(super) async fn recover_blocking(seat: Seat, stop: StopSpec) -> Result<(), String> {
    tokio::task::spawn_blocking(move || shim_link::recover(&seat, stop))
        .await
        .unwrap_or_else(|e| Err(e.to_string()))
}

/// Whether the holder of our port is the program we would run.
fn is_same_program(kind: Kind, program: &str, holder: &str) -> bool {
    let base = program.rsplit('/').next().unwrap_or(program);
    match kind {
        Kind::Ollama => holder.to_ascii_lowercase().contains("ollama"),
        Kind::Postgres => holder.starts_with("postgres"),
        // Any two programs of an interpreter share its name.
        Kind::Node => false,
        _ => {
            !base.is_empty()
                && base == holder
                && !matches!(
                    base,
                    "node"
                        | "python"
                        | "python3"
                        | "sh"
                        | "bash"
                        | "ruby"
                        | "java"
                        | "deno"
                        | "bun"
                )
        }
    }
}

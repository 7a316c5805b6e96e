//! One instance: a task that owns everything of it. It moves between the pure machine and the world.
//!
//! Inputs come from the shim, from callers, from the probes, from jobs it started itself, and from the clock; each is
//! given to the machine, and the machine's effects are carried out at once. A death goes shim → this task → shim, with
//! no other task, no lock that is waited for and no disk between; telling the world comes after the respawn.

mod adopt;
mod jobs;
mod link;
mod settings;
pub(crate) mod strays;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::spec::Run;
use cockpit_model::{Code, EventBody, HealthTick, PortHolder, Problem, ServiceSpec, Timestamp};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::cell::Cell;
use crate::launch::Launch;
use crate::machine::{By, Effect, Held, Input, Machine, SpawnFailure, Ticket};
use crate::ports::Lease;
use crate::probe::{Answer, Prober};
use crate::seams::Driver;
use crate::seat::Seat;
use crate::shared::Shared;
use crate::shim_link::{FromShim, Label, Link, ToShim};
use jobs::Done;
use settings::Leaving;

/// A driver looks at its service so often.
const INSPECT_EVERY: Duration = Duration::from_secs(5);
/// And so often while its word on readiness is awaited.
const INSPECT_HURRIED: Duration = Duration::from_millis(500);
/// Whether a stand-in is still there.
const HOLDER_EVERY: Duration = Duration::from_secs(2);
/// A shim answers a spawn within this, and a stop within this and the grace.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a caller learns that it is done.
pub(crate) type Reply = oneshot::Sender<Result<(), Problem>>;

/// What can be asked of an instance.
pub(crate) enum Command {
    Start {
        by: By,
        reply: Option<Reply>,
    },
    Stop {
        by: By,
        cause: String,
        reply: Option<Reply>,
    },
    Restart {
        by: By,
        cause: String,
        reply: Option<Reply>,
    },
    TakeOver {
        reply: Reply,
    },
    /// The cell may have new settings: they are in force when it is answered, or (`true`) wait for a `Renew`.
    Reconfigure {
        reply: oneshot::Sender<bool>,
    },
    /// It is its turn: start anew if its process was started with other settings. Done when it is ready, if it is
    /// wanted.
    Renew {
        reply: Reply,
    },
    Memory {
        bytes: u64,
    },
    Woke,
    Inspect {
        reply: oneshot::Sender<()>,
    },
    /// Stop, end the shim, end this task.
    Retire {
        cause: String,
        reply: oneshot::Sender<()>,
    },
    /// End this task; the process runs on.
    Detach {
        reply: oneshot::Sender<()>,
    },
}

/// The way to an instance.
#[derive(Clone)]
pub(crate) struct Handle {
    index: u16,
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Starts the task of an instance. The other half resolves once it has looked for a running process: `true` if
    /// it found one.
    pub(crate) fn spawn(
        shared: Arc<Shared>,
        cell: Arc<Cell>,
        index: u16,
    ) -> (Self, oneshot::Receiver<bool>) {
        let (commands, rx) = mpsc::channel(64);
        let (looked, found) = oneshot::channel();
        let actor = Actor::new(shared, cell, index, rx);
        tokio::spawn(actor.run(looked));
        (Self { index, commands }, found)
    }

    /// Which instance.
    pub(crate) const fn index(&self) -> u16 {
        self.index
    }

    /// Asks. An instance that is gone drops the reply, which its caller notices.
    pub(crate) async fn ask(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    /// Asks unless it is busy; for what comes again.
    pub(crate) fn offer(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }
}

/// What woke the task.
enum Woken {
    Link(std::io::Result<Vec<FromShim>>),
    Command(Option<Command>),
    Job(Done),
    Gate,
    Ready(Answer),
    Live(Answer),
    Tick,
}

pub(super) struct Actor {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    spec: Arc<ServiceSpec>,
    index: u16,
    port: Option<u16>,
    /// Of the port, where it is of its own.
    lease: Option<Lease>,
    seat: Seat,
    machine: Machine,
    inputs: VecDeque<Input>,
    launch: Launch,
    driver: Option<Arc<dyn Driver>>,
    link: Option<Link>,
    shim_pid: Option<u32>,
    /// What the shim keeps for us about its process.
    label: Option<Label>,
    commands: mpsc::Receiver<Command>,
    changes: watch::Receiver<u64>,
    gate: Result<(), Held>,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    tickets: BTreeMap<Ticket, Reply>,
    next_ticket: u64,
    ready: Option<Prober>,
    live: Option<Prober>,
    /// The process the probers were made for.
    probed: Option<Timestamp>,
    last_answer: Option<Answer>,
    heartbeat: VecDeque<HealthTick>,
    /// Exits the shim keeps until we acknowledge them.
    unacked: Vec<u64>,
    holder: Option<PortHolder>,
    /// The shim was told to quit and has not closed yet; `true`: a spawn waits for that.
    closing: Option<bool>,
    stop_problem: Option<Problem>,
    watchdog: Option<Instant>,
    woken_shim: bool,
    inspect_at: Option<Instant>,
    inspecting: bool,
    /// Whether the driver has a word on readiness, as far as is known.
    driver_judges: bool,
    waiting_inspections: Vec<oneshot::Sender<()>>,
    holder_at: Option<Instant>,
    retiring: Option<oneshot::Sender<()>>,
    leaving: Option<Leaving>,
    over: bool,
}

impl Actor {
    fn new(
        shared: Arc<Shared>,
        cell: Arc<Cell>,
        index: u16,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let spec = cell.spec();
        let seat = Seat::of(&shared.parts.run_dir, &spec.name, index);
        let launch = Launch::new(Arc::clone(&spec), None, shared.env());
        let machine = Machine::new(Arc::clone(&spec), index, String::new(), 0, shared.now());
        let changes = shared.changes();
        Self {
            index,
            port: None,
            lease: None,
            seat,
            machine,
            inputs: VecDeque::new(),
            launch,
            driver: None,
            link: None,
            shim_pid: None,
            label: None,
            commands,
            changes,
            gate: Ok(()),
            jobs: FuturesUnordered::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            ready: None,
            live: None,
            probed: None,
            last_answer: None,
            heartbeat: VecDeque::new(),
            unacked: Vec::new(),
            holder: None,
            closing: None,
            stop_problem: None,
            watchdog: None,
            woken_shim: false,
            inspect_at: None,
            inspecting: false,
            driver_judges: true,
            waiting_inspections: Vec::new(),
            holder_at: None,
            retiring: None,
            leaving: None,
            over: false,
            shared,
            cell,
            spec,
        }
    }

    async fn run(mut self, looked: oneshot::Sender<bool>) {
        self.look(looked).await;
        self.begin();
        self.settle();
        while !self.over {
            let woken = self.wait().await;
            match woken {
                Woken::Link(Ok(messages)) => self.on_messages(messages),
                Woken::Link(Err(error)) => self.on_link_lost(&error),
                Woken::Command(Some(command)) => self.on_command(command),
                Woken::Command(None) => break,
                Woken::Job(done) => self.on_done(done),
                Woken::Gate => self.look_at_gate(),
                Woken::Ready(answer) => self.on_ready_answer(answer),
                Woken::Live(answer) => self.feed(Input::Live(answer.outcome)),
                Woken::Tick => self.on_tick(),
            }
            self.settle();
        }
    }

    async fn wait(&mut self) -> Woken {
        let deadline = [
            self.machine.deadline().map(|at| self.shared.instant(at)),
            self.watchdog,
            self.inspect_at.filter(|_| !self.inspecting),
            self.holder_at,
        ];
        let deadline = deadline.into_iter().flatten().min();
        let (link, ready, live) = (&mut self.link, &mut self.ready, &mut self.live);
        let (jobs, gated) = (&mut self.jobs, !self.spec.depends_on.is_empty());
        tokio::select! {
            biased;
            messages = async { match link { Some(link) => link.next().await, None => std::future::pending().await } } => Woken::Link(messages),
            command = self.commands.recv() => Woken::Command(command),
            Some(done) = jobs.next(), if !jobs.is_empty() => Woken::Job(done),
            Ok(()) = self.changes.changed(), if gated => Woken::Gate,
            answer = async { match ready { Some(prober) => prober.next().await, None => std::future::pending().await } } => Woken::Ready(answer),
            answer = async { match live { Some(prober) => prober.next().await, None => std::future::pending().await } } => Woken::Live(answer),
            () = async { match deadline { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => Woken::Tick,
        }
    }

    /// Gives an input to the machine and carries out what follows from it.
    fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            let chance = cockpit_resilience::chance();
            let effects = self.machine.step(self.shared.now(), chance, input);
            let (world, rest): (Vec<_>, Vec<_>) = effects.into_iter().partition(|effect| {
                matches!(
                    effect,
                    Effect::Spawn | Effect::StopTree | Effect::RecoverTree
                )
            });
            for effect in world.into_iter().chain(rest) {
                self.obey(effect);
            }
        }
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn => self.spawn(),
            Effect::StopTree => self.stop_tree(),
            Effect::RecoverTree => self.recover(Duration::ZERO),
            Effect::AfterReady => {
                if let Some(driver) = self.driver.clone() {
                    tokio::spawn(async move { driver.after_ready().await });
                }
                self.look_at_owner();
            }
            Effect::Down { cause } => {
                if self.cell.down(self.index) {
                    let service = self.spec.name.clone();
                    self.shared.emit(EventBody::ServiceDown { service, cause });
                }
            }
            Effect::Forget => {
                self.cell.recovered(self.index);
            }
            Effect::Recovered { down } => {
                if self.cell.recovered(self.index) {
                    self.shared.emit(EventBody::ServiceRecovered {
                        service: self.spec.name.clone(),
                        down_ms: u64::try_from(down.as_millis()).unwrap_or(u64::MAX),
                    });
                }
            }
            Effect::Resolve(ticket, answer) => {
                let answer = match (answer, &self.stop_problem) {
                    (Ok(()), Some(problem)) if !self.machine.wanted() => Err(problem.clone()),
                    (answer, _) => answer,
                };
                // The view first: who is answered may look at once.
                self.publish();
                if let Some(reply) = self.tickets.remove(&ticket) {
                    let _ = reply.send(answer);
                }
            }
            Effect::Event(event) => self.shared.emit(event),
        }
    }

    fn ticket(&mut self, reply: Option<Reply>) -> Option<Ticket> {
        let reply = reply?;
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.tickets.insert(ticket, reply);
        Some(ticket)
    }

    fn on_command(&mut self, command: Command) {
        let Some(command) = self.with_newest_settings(command) else {
            return;
        };
        match command {
            Command::Start { by, reply } => {
                self.remember(&by, false);
                self.look_at_gate();
                let ticket = self.ticket(reply);
                self.feed(Input::Start { by, ticket });
            }
            Command::Stop { by, cause, reply } => {
                self.remember(&by, true);
                let ticket = self.ticket(reply);
                self.feed(Input::Stop { by, cause, ticket });
            }
            Command::Restart { by, cause, reply } => {
                self.remember(&by, false);
                self.look_at_gate();
                let ticket = self.ticket(reply);
                self.feed(Input::Restart { by, cause, ticket });
            }
            Command::TakeOver { reply } => self.take_over(reply),
            Command::Reconfigure { reply } => {
                let _ = reply.send(self.reconfigure());
            }
            Command::Renew { reply } => self.renew(Some(reply)),
            Command::Memory { bytes } => self.feed(Input::Memory { bytes }),
            Command::Woke => self.feed(Input::Woke),
            Command::Inspect { reply } => {
                if self.driver.is_some() {
                    self.waiting_inspections.push(reply);
                    self.inspect();
                }
            }
            Command::Retire { cause, reply } => {
                self.retiring = Some(reply);
                let by = By::Cockpit;
                self.feed(Input::Stop {
                    by,
                    cause,
                    ticket: None,
                });
            }
            Command::Detach { reply } => {
                self.over = true;
                let _ = reply.send(());
            }
        }
    }

    /// A stop by hand is remembered, and forgotten by a start by hand; what is not ours is not ours to stop.
    fn remember(&self, by: &By, stopped: bool) {
        let ours = self.spec.run != Run::Watch && self.machine.external().is_none();
        if *by == By::Hand && (ours || !stopped) && !self.cell.remembers(stopped) {
            self.shared.remember(&self.cell, stopped);
        }
    }

    fn look_at_gate(&mut self) {
        self.changes.mark_unchanged();
        let gate = self.shared.gate(&self.spec.depends_on);
        if gate != self.gate {
            self.gate.clone_from(&gate);
            self.feed(Input::Gate(gate));
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.watchdog) {
            self.shim_is_silent();
        }
        if due(self.inspect_at) && !self.inspecting {
            self.inspect();
        }
        if due(self.holder_at) {
            self.look_at_holder();
        }
        self.feed(Input::Tick);
    }

    fn take_over(&mut self, reply: Reply) {
        let Some(holder) = self.holder.clone() else {
            let problem = Problem::new(
                Code::NotSupported,
                format!("{} is not run by somebody else", self.spec.name),
            );
            let _ = reply.send(Err(problem));
            return;
        };
        self.take_over_from(holder, reply);
    }

    fn send(&mut self, message: &ToShim) {
        let Some(link) = &mut self.link else { return };
        if let Err(error) = link.send(message) {
            self.on_link_lost(&error);
        }
    }

    fn spawn_failed(&mut self, problem: Problem) {
        self.inputs
            .push_back(Input::SpawnFailed(SpawnFailure::Other(problem)));
    }
}

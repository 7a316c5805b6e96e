//! What goes into the machine and what comes out.

use std::time::Duration;

use cockpit_model::{EventBody, Exit, PortHolder, Problem, Timestamp};

/// A moment: for spans and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since any fixed origin; stands still while the machine sleeps.
    pub(crate) mono: Duration,
    /// The wall clock.
    pub(crate) wall: Timestamp,
}

/// Names one waiting caller; the actor knows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// Who wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    /// A person: backoff and crash history are forgotten.
    Hand,
    /// The cockpit, at its start or because the configuration says so.
    Cockpit,
}

/// Why a dependency holds a service back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// `supabase (starting)`.
    pub(crate) who: String,
    /// Set when waiting is in vain until a person acts (it is stopped, missing, crash looping): what a ticket is told.
    pub(crate) hopeless: Option<String>,
}

/// Why a start did not come to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpawnFailure {
    /// The command is not on this machine.
    Missing {
        /// The program.
        program: String,
    },
    /// The port it is to listen on is taken.
    PortHeld {
        /// Which.
        port: u16,
        /// By whom; none: it cannot be told.
        holder: Option<PortHolder>,
        /// Whether the holder is the same program and answers as the service would.
        stands_in: bool,
    },
    /// Anything else, named.
    Other(Problem),
}

/// What happens to an instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// It is wanted.
    Start { by: By, ticket: Option<Ticket> },
    /// It is not wanted any more.
    Stop {
        by: By,
        cause: String,
        ticket: Option<Ticket>,
    },
    /// Down and up again.
    Restart {
        by: By,
        cause: String,
        ticket: Option<Ticket>,
    },
    /// Whether its dependencies let it start.
    Gate(Result<(), Held>),
    /// A process runs: the answer to [`Effect::Spawn`], or found running.
    Spawned {
        pid: Option<u32>,
        started_at: Timestamp,
        /// How long it has been running already.
        uptime: Duration,
        adopted: bool,
    },
    /// The other answer to [`Effect::Spawn`].
    SpawnFailed(SpawnFailure),
    /// The leader ended; `tree_empty` when nothing else of its tree is left.
    Exited { exit: Exit, tree_empty: bool },
    /// Nothing of the tree is left.
    TreeEmpty,
    /// The shim is gone, and with it what we know of the tree.
    ShimLost { cause: String },
    /// A task had ended well before the cockpit came.
    FoundDone,
    /// A readiness sample.
    Ready(Result<(), String>),
    /// A liveness sample.
    Live(Result<(), String>),
    /// What a driver says about readiness; none: nothing.
    Observed(Option<Result<(), String>>),
    /// Memory of the tree.
    Memory { bytes: u64 },
    /// The machine slept.
    Woke,
    /// The foreign process that stood in is gone.
    HolderGone,
    /// A deadline may have passed.
    Tick,
}

/// What the actor is to do. Every [`Effect::Spawn`] is answered by exactly one `Spawned`, `SpawnFailed` or
/// `ShimLost`; every [`Effect::StopTree`] and [`Effect::RecoverTree`] by a `TreeEmpty` or another `ShimLost`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Start a process.
    Spawn,
    /// End the tree, the signal first.
    StopTree,
    /// The shim is gone: find what is left of its tree and end it.
    RecoverTree,
    /// It became ready for the first time since its process began.
    AfterReady,
    /// It is down and did not heal.
    Down { cause: String },
    /// What was told as down is no longer an outage, without a word: it was stopped, or somebody stands in.
    Forget,
    /// It is well again.
    Recovered { down: Duration },
    /// A caller's wish came true, or cannot.
    Resolve(Ticket, Result<(), Problem>),
    /// Tell the world.
    Event(EventBody),
}

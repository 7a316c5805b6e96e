//! Identities of processes, and finding and ending a tree.
//!
//! A pid is reused; a pid with its start time is not. Every signal here goes to an [`Identity`] that was verified
//! just before (on Linux through a pidfd, so that nothing can come between the check and the signal).
//!
//! A living shim knows its tree by descent. When a shim was killed its tree is found by what it left behind: the
//! marker `STUDIO_COCKPIT_INSTANCE=…` in the environment of what it started, and the leader's identity in its
//! pidfile. What a marked process started, and who shares a group or session that a marked process leads, belongs
//! to the tree also without the marker: PostgreSQL's backends, for one, overwrite their environment.

mod end;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
pub mod pidfile;

use std::collections::{BTreeMap, BTreeSet};

#[cfg(target_os = "linux")]
use linux as os;
#[cfg(target_os = "macos")]
use macos as os;
use rustix::process::Signal;

pub use end::{Leftover, end_marked};

/// The environment variable that marks everything an instance's shim starts.
pub const MARKER: &str = "STUDIO_COCKPIT_INSTANCE";

/// Which process, for as long as the machine runs: what is kept on disk names the boot too ([`pidfile`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its pid.
    pub pid: u32,
    /// When it began: ticks since boot (Linux), microseconds since 1970 (macOS). To be compared only.
    pub start_time: u64,
}

impl Identity {
    /// No process at all: it never lives, and no signal goes to it.
    pub const NOBODY: Self = Self {
        pid: 0,
        start_time: 0,
    };

    /// The process that has this pid now; `None` if there is none.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let start_time = os::stat(pid)?.start_time;
        Some(Self { pid, start_time })
    }

    /// This very process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs. One that ended and was not reaped yet does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self != Self::NOBODY
            && os::stat(self.pid)
                .is_some_and(|stat| stat.start_time == self.start_time && !stat.zombie)
    }

    /// Sends a signal if this very process still exists; whether it was sent.
    pub fn signal(self, signal: Signal) -> bool {
        // Nobody means the processes that are no one's to end, nor the caller.
        self.pid > 1 && self.pid != std::process::id() && os::signal(self, signal)
    }
}

/// What the system says of a process.
#[derive(Debug, Clone, Copy)]
struct Stat {
    ppid: u32,
    group: u32,
    session: u32,
    start_time: u64,
    zombie: bool,
}

fn pid_of(pid: u32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Everything that descends from `root` (without it, without zombies), as far as it can be seen in one look: a
/// process that forks meanwhile may hide its newest child.
#[must_use]
pub fn descendants(root: u32) -> Vec<Identity> {
    os::descendants(root).unwrap_or_else(|| {
        let all = os::all();
        let mut members: BTreeSet<u32> = BTreeSet::from([root]);
        spread(&all, &mut members, false);
        identities(&all, &members, root)
    })
}

/// Everything of the instance that was started with this marker, the leader first if it is known and there.
///
/// `leader` is what the pidfile names; it is taken only if its start time still matches.
/// Blocks for a few milliseconds: it reads the environment of every process of this user.
#[must_use]
pub fn find_marked(marker: &str, leader: Option<Identity>) -> Vec<Identity> {
    let all = os::all();
    let mut members: BTreeSet<u32> = BTreeSet::new();
    let entry = format!("{MARKER}={marker}");
    for (&pid, stat) in all.iter().filter(|(pid, _)| **pid > 1) {
        let named = leader.is_some_and(|l| l.pid == pid && l.start_time == stat.start_time);
        if named || (!marker.is_empty() && !stat.zombie && os::has_environment(pid, &entry)) {
            members.insert(pid);
        }
    }
    spread(&all, &mut members, true);
    let mut found = identities(&all, &members, std::process::id());
    found.sort_by_key(|id| Some(*id) != leader);
    found
}

/// Adds the descendants of the members, and (if asked) the groups and sessions that members lead, until nothing
/// is added any more.
fn spread(all: &BTreeMap<u32, Stat>, members: &mut BTreeSet<u32>, by_group: bool) {
    loop {
        let new: Vec<u32> = all
            .iter()
            .filter(|(pid, _)| !members.contains(pid))
            .filter(|(_, stat)| {
                members.contains(&stat.ppid)
                    || (by_group
                        && (members.contains(&stat.group) || members.contains(&stat.session)))
            })
            .map(|(&pid, _)| pid)
            .collect();
        if new.is_empty() {
            return;
        }
        members.extend(new);
    }
}

fn identities(all: &BTreeMap<u32, Stat>, members: &BTreeSet<u32>, except: u32) -> Vec<Identity> {
    members
        .iter()
        .filter(|&&pid| pid != except && pid > 1 && pid != std::process::id())
        .filter_map(|pid| Some((*pid, all.get(pid)?)))
        .filter(|(_, stat)| !stat.zombie)
        .map(|(pid, stat)| Identity {
            pid,
            start_time: stat.start_time,
        })
        .collect()
}

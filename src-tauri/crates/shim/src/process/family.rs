//! What is left of the tree, and signals to it.
//!
//! Linux: the shim is a child subreaper, so every orphan of the tree becomes its child; `waitpid` saying that there
//! is no child proves that nothing is left, without a look at anything.
//!
//! macOS has no subreaper: an orphan goes to launchd. There the descendants are looked at every second while the
//! leader lives, and remembered by identity; what is left is the remembered, the leader's group, and (when a tree
//! is being ended) whatever carries the marker.

use std::time::Duration;

use rustix::process::{Signal, kill_process_group};

use crate::tree::{Identity, descendants};

#[derive(Debug)]
pub(super) struct Family {
    #[cfg(target_os = "macos")]
    marker: String,
    #[cfg(target_os = "macos")]
    known: std::collections::BTreeSet<Identity>,
    #[cfg(target_os = "macos")]
    group: Option<u32>,
}

impl Family {
    #[cfg(not(target_os = "macos"))]
    pub(super) fn new(_marker: &str) -> Self {
        Self {}
    }

    #[cfg(target_os = "macos")]
    pub(super) fn new(marker: &str) -> Self {
        Self {
            marker: marker.to_owned(),
            known: std::collections::BTreeSet::new(),
            group: None,
        }
    }

    /// How often [`Family::look`] wants to be called while a child runs, and [`Family::is_empty`] while a tree is
    /// being ended; `None` where the system tells by itself.
    pub(super) fn pause(ending: bool) -> Option<Duration> {
        cfg!(target_os = "macos").then_some(if ending {
            Duration::from_millis(20)
        } else {
            Duration::from_secs(1)
        })
    }

    /// Remembers who descends from the leader now.
    #[cfg(not(target_os = "macos"))]
    pub(super) fn look(&mut self, _leader: Identity) {}

    #[cfg(target_os = "macos")]
    pub(super) fn look(&mut self, leader: Identity) {
        if self.group != Some(leader.pid) {
            self.known.clear();
            self.group = Some(leader.pid);
        }
        self.known.retain(|id| id.is_alive());
        let roots: Vec<u32> = self.known.iter().map(|id| id.pid).collect();
        for root in roots.into_iter().chain([leader.pid]) {
            self.known.extend(descendants(root));
        }
    }

    /// Whether nothing is left, given whether the shim has children left and whether the tree is being ended.
    #[cfg(not(target_os = "macos"))]
    pub(super) fn is_empty(&mut self, children: bool, _ending: bool) -> bool {
        !children
    }

    #[cfg(target_os = "macos")]
    pub(super) fn is_empty(&mut self, children: bool, ending: bool) -> bool {
        if children {
            return false;
        }
        self.known.retain(|id| id.is_alive());
        let group_left = self.group.is_some_and(|group| {
            i32::try_from(group)
                .ok()
                .and_then(rustix::process::Pid::from_raw)
                .is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok())
        });
        if !self.known.is_empty() || group_left {
            return false;
        }
        !ending || self.rest().is_empty()
    }

    /// Everyone who is left, as far as can be seen now.
    #[cfg(not(target_os = "macos"))]
    pub(super) fn rest(&mut self) -> Vec<Identity> {
        descendants(std::process::id())
    }

    #[cfg(target_os = "macos")]
    pub(super) fn rest(&mut self) -> Vec<Identity> {
        let leader = self.group.and_then(Identity::of);
        let marked = crate::tree::find_marked(&self.marker, None);
        self.known.extend(marked);
        self.known.extend(descendants(std::process::id()));
        self.known.retain(|id| id.is_alive());
        // The leader itself is signalled as long as it is our child: its pid cannot be another's.
        self.known.extend(leader.filter(|id| id.is_alive()));
        self.known.iter().copied().collect()
    }

    pub(super) fn signal_group(&self, leader: Identity, signal: Signal) {
        // The leader was not reaped, so neither its pid nor its group's id can be another's.
        if let Some(pid) = i32::try_from(leader.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = kill_process_group(pid, signal);
            if signal != Signal::KILL {
                // A stopped process would not even notice.
                let _ = kill_process_group(pid, Signal::CONT);
            }
        }
    }

    pub(super) fn signal_rest(&mut self, signal: Signal) {
        for id in self.rest() {
            id.signal(signal);
            if signal != Signal::KILL {
                id.signal(Signal::CONT);
            }
        }
    }
}

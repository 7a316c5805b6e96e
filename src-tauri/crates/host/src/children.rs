//! Which processes belong to an instance: its leader and all its descendants, and, under a shim
//! that adopts orphans, those whose parents have gone.

use std::collections::{HashMap, HashSet};

use crate::os::{self, Reading};

/// A tree larger than this is cut: something in it multiplies without end.
const LARGEST: usize = 4096;
/// Between two walks of the same tree, in samples.
const WALK_EVERY: u64 = 5;

/// Remembers the members of each tree between two walks.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    known: HashMap<Root, Tree>,
    turn: u64,
}

/// What a tree hangs from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Root {
    /// The leader.
    pub pid: u32,
    /// Its shim, if it has one.
    pub shim: Option<u32>,
}

#[derive(Debug)]
struct Tree {
    members: Vec<u32>,
    turn: u64,
}

impl Trees {
    /// The members of a tree, the leader first. Walked anew if it is new or its turn has come.
    pub(crate) fn members(
        &mut self,
        root: Root,
        read: &mut impl FnMut(u32) -> Option<Reading>,
        buffer: &mut Vec<u8>,
    ) -> &[u32] {
        let turn = self.turn;
        // Spread over the samples by pid.
        let due = turn % WALK_EVERY == u64::from(root.pid) % WALK_EVERY;
        let tree = self.known.entry(root).or_insert_with(|| Tree {
            members: Vec::new(),
            turn,
        });
        if due || tree.members.is_empty() {
            tree.members = walk(root, read, buffer);
        }
        tree.turn = turn;
        &tree.members
    }

    /// Forgets trees that were not asked for since the last call.
    pub(crate) fn end_of_turn(&mut self) {
        let turn = self.turn;
        self.known.retain(|_, tree| tree.turn == turn);
        self.turn += 1;
    }
}

fn walk(
    root: Root,
    read: &mut impl FnMut(u32) -> Option<Reading>,
    buffer: &mut Vec<u8>,
) -> Vec<u32> {
    let mut members = vec![root.pid];
    let mut seen: HashSet<u32> = [Some(root.pid), root.shim].into_iter().flatten().collect();
    let mut found = Vec::new();
    if let Some(shim) = root.shim {
        os::current::read_children(shim, false, buffer, &mut found);
    }
    let mut next = 0;
    loop {
        for pid in found.drain(..) {
            if members.len() < LARGEST && seen.insert(pid) {
                members.push(pid);
            }
        }
        let Some(pid) = members.get(next).copied() else {
            return members;
        };
        next += 1;
        if let Some(reading) = read(pid) {
            os::current::read_children(pid, reading.single_threaded, buffer, &mut found);
        }
    }
}

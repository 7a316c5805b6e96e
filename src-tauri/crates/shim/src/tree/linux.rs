//! Linux: everything from `/proc`.

use std::collections::BTreeMap;
use std::io::Read;

use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::{Identity, Stat, pid_of};

pub(super) fn stat(pid: u32) -> Option<Stat> {
    let mut bytes = [0_u8; 1024];
    let mut file = std::fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    let n = file.read(&mut bytes).ok()?;
    parse_stat(bytes.get(..n)?)
}

/// `pid (comm) state ppid pgrp session …`, the start time in field 22. A comm may hold anything, also `)`.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let end = bytes.iter().rposition(|&b| b == b')')?;
    let rest = std::str::from_utf8(bytes.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let mut number = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
    Some(Stat {
        zombie: matches!(state, "Z" | "X" | "x"),
        ppid: u32::try_from(number(0)?).ok()?,
        group: u32::try_from(number(0)?).ok()?,
        session: u32::try_from(number(0)?).ok()?,
        start_time: number(15)?,
    })
}

/// Which boot of the machine this is: start times are counted from it. `None` if it cannot be told.
pub(super) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

pub(super) fn all() -> BTreeMap<u32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

pub(super) fn has_environment(pid: u32, entry: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|bytes| bytes.split(|&b| b == 0).any(|e| e == entry.as_bytes()))
}

/// By `/proc/PID/task/TID/children`, which costs by the size of the tree, not of the machine; `None` where the
/// kernel has none.
pub(super) fn descendants(root: u32) -> Option<Vec<Identity>> {
    let mut found = Vec::new();
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        let tasks = match std::fs::read_dir(format!("/proc/{pid}/task")) {
            Ok(tasks) => tasks,
            Err(_) if pid != root => continue,
            Err(_) => return None,
        };
        for task in tasks.flatten() {
            let Ok(children) = std::fs::read_to_string(task.path().join("children")) else {
                if pid == root {
                    return None;
                }
                continue;
            };
            for child in children.split_ascii_whitespace().flat_map(str::parse) {
                todo.push(child);
                if let Some(stat) = stat(child).filter(|stat| !stat.zombie) {
                    found.push(Identity {
                        pid: child,
                        start_time: stat.start_time,
                    });
                }
            }
        }
    }
    Some(found)
}

pub(super) fn signal(id: Identity, signal: Signal) -> bool {
    let Some(pid) = pid_of(id.pid) else {
        return false;
    };
    let is_it = || stat(id.pid).is_some_and(|stat| stat.start_time == id.start_time);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => is_it() && pidfd_send_signal(fd, signal).is_ok(),
        Err(rustix::io::Errno::SRCH) => false,
        // An old or a restricted kernel: the check and the signal are two steps.
        Err(_) => is_it() && kill_process(pid, signal).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_hostile_name_is_read_past() {
        let line =
            b"4711 (x) R 1 (y) S 12 34 56 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.ppid, stat.group, stat.session), (12, 34, 56));
        assert_eq!(stat.start_time, 987_654);
        assert!(!stat.zombie);
        assert!(parse_stat(b"4711 (sh").is_none());
        assert!(parse_stat(b"4711 (sh) S 1 2").is_none());
    }

    #[test]
    fn this_process_is_found() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        assert!(
            !Identity {
                start_time: own.start_time + 1,
                ..own
            }
            .is_alive()
        );
        assert_eq!(all().get(&own.pid).unwrap().start_time, own.start_time);
    }
}

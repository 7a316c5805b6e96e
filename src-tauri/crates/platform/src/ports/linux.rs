//! `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{Identity, Keeper, Listener};

/// Who held a port last: looked at first, so that asking again does not walk every process.
static LAST: Mutex<BTreeMap<u16, u32>> = Mutex::new(BTreeMap::new());

/// `TCP_LISTEN` in `/proc/net/tcp`.
const LISTENING: &str = "0A";

pub(super) fn listener(port: u16) -> Option<Listener> {
    let mut inodes = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(text) = std::fs::read_to_string(table) {
            inodes.extend(listening_inodes(&text, port));
        }
    }
    if inodes.is_empty() {
        return None;
    }
    let last = LAST
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&port);
    let wanted: BTreeSet<String> = inodes.iter().map(|i| format!("socket:[{i}]")).collect();
    let pid = last
        .filter(|pid| holds(Path::new(&format!("/proc/{pid}/fd")), &wanted))
        .or_else(|| holder_of(&wanted));
    let Some(pid) = pid else {
        return Some(Listener {
            identity: None,
            name: String::new(),
            keeper: Keeper::Nobody,
        });
    };
    LAST.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(port, pid);
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let name = read("comm").unwrap_or_default().trim().to_owned();
    let groups = read("cgroup").unwrap_or_default();
    let our_groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let command = read("cmdline").unwrap_or_default();
    Some(Listener {
        identity: started(pid).map(|started| Identity { pid, started }),
        keeper: keeper(&name, &command, &groups, &our_groups),
        name,
    })
}

/// Field 22 of `/proc/PID/stat`: clock ticks after boot.
pub(super) fn started(pid: u32) -> Option<String> {
    start_field(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn start_field(stat: &str) -> Option<String> {
    // The name, in brackets, may hold anything, also brackets and spaces.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(19).map(str::to_owned)
}

/// The inodes of sockets that listen on the port.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, hex) = fields.get(1)?.rsplit_once(':')?;
            let here = u16::from_str_radix(hex, 16).ok()? == port;
            if !here || *fields.get(3)? != LISTENING {
                return None;
            }
            fields.get(9)?.parse().ok().filter(|inode| *inode != 0)
        })
        .collect()
}

/// The process that holds one of the sockets; of several (a server and its workers) the oldest.
fn holder_of(wanted: &BTreeSet<String>) -> Option<u32> {
    let mut holders: Vec<(u64, u32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if holds(&entry.path().join("fd"), wanted) {
            let since = started(pid).and_then(|s| s.parse().ok());
            holders.push((since.unwrap_or(u64::MAX), pid));
        }
    }
    holders.into_iter().min().map(|(_, pid)| pid)
}

fn holds(descriptors: &Path, wanted: &BTreeSet<String>) -> bool {
    let Ok(entries) = std::fs::read_dir(descriptors) else {
        return false;
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .any(|target| target.to_str().is_some_and(|t| wanted.contains(t)))
}

/// Who keeps a process, by its name, command line (zero-separated) and control groups.
fn keeper(name: &str, command: &str, groups: &str, our_groups: &str) -> Keeper {
    // It forwards a published port into a container; its own group is the daemon's.
    if name == "docker-proxy" || command.starts_with("/usr/bin/docker-proxy\0") {
        return Keeper::Container(None);
    }
    // In the same group as ourselves the group tells nothing: services of a cockpit that systemd
    // started are in the cockpit's own unit.
    if groups == our_groups {
        return Keeper::Nobody;
    }
    groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .map(keeper_of_group)
        .find(|keeper| *keeper != Keeper::Nobody)
        .unwrap_or(Keeper::Nobody)
}

fn keeper_of_group(path: &str) -> Keeper {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(id) = parts.iter().rev().find_map(|part| container_id(part)) {
        return Keeper::Container(Some(id.to_owned()));
    }
    let under_user = parts.iter().any(|part| part.starts_with("user@"));
    let unit = parts.iter().rev().find(|part| {
        part.ends_with(".service") && !part.starts_with("user@") && **part != OUR_UNIT
    });
    match unit {
        Some(unit) if under_user => Keeper::UserUnit((*unit).to_owned()),
        Some(unit) => Keeper::SystemUnit((*unit).to_owned()),
        None => Keeper::Nobody,
    }
}

/// Whoever is in our own unit is an engine or a service of one, and never to be ended through it.
const OUR_UNIT: &str = crate::login::UNIT;

/// `docker-<id>.scope` (systemd driver), `<id>` under `docker` (cgroupfs), and podman's.
fn container_id(part: &str) -> Option<&str> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    let id = bare
        .strip_prefix("docker-")
        .or_else(|| bare.strip_prefix("libpod-"))
        .or_else(|| bare.strip_prefix("cri-containerd-"))
        .unwrap_or(bare);
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_listening_sockets_of_that_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:2CAA 0100007F:A2B4 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000 100 0 0 10 0
   3: broken
";
        assert_eq!(listening_inodes(table, 0x2CAA), [4711]);
        assert_eq!(listening_inodes(table, 22), [4713]);
        assert_eq!(listening_inodes(table, 80), [0; 0]);
        let six = "header\n   0: 00000000000000000000000000000000:2CAA 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 99 1 0 100 0 0 10 0\n";
        assert_eq!(listening_inodes(six, 11434), [99]);
    }

    #[test]
    fn the_start_time_behind_a_name_with_brackets() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 10 11";
        assert_eq!(start_field(stat).as_deref(), Some("98765"));
        assert!(started(std::process::id()).is_some());
    }

    #[test]
    fn owners_by_control_group() {
        let of = |groups: &str| keeper("x", "", groups, "0::/init.scope\n");
        assert_eq!(
            of("0::/system.slice/ollama.service\n"),
            Keeper::SystemUnit("ollama.service".into())
        );
        assert_eq!(
            of("0::/system.slice/system-postgresql.slice/postgresql@16-main.service\n"),
            Keeper::SystemUnit("postgresql@16-main.service".into())
        );
        assert_eq!(
            of("0::/user.slice/user-1000.slice/user@1000.service/app.slice/api.service\n"),
            Keeper::UserUnit("api.service".into())
        );
        assert_eq!(
            of("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-term.scope\n"),
            Keeper::Nobody
        );
        assert_eq!(
            of("0::/user.slice/user-1000.slice/session-3.scope\n"),
            Keeper::Nobody
        );
        let id = "a".repeat(64);
        assert_eq!(
            of(&format!("0::/system.slice/docker-{id}.scope\n")),
            Keeper::Container(Some(id.clone()))
        );
        assert_eq!(
            of(&format!("12:pids:/docker/{id}\n0::/docker/{id}\n")),
            Keeper::Container(Some(id))
        );
    }

    #[test]
    fn our_own_group_tells_nothing() {
        let groups = "0::/system.slice/whatever.service\n";
        assert_eq!(keeper("x", "", groups, groups), Keeper::Nobody);
        let ours = "0::/user.slice/user-1.slice/user@1.service/app.slice/studio-cockpit.service\n";
        assert_eq!(keeper("x", "", ours, "0::/\n"), Keeper::Nobody);
    }

    #[test]
    fn a_published_port_is_dockers() {
        let groups = "0::/system.slice/docker.service\n";
        assert_eq!(
            keeper("docker-proxy", "", groups, "0::/\n"),
            Keeper::Container(None)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_survived(table: String, port: u16, stat: String, groups: String) {
            listening_inodes(&table, port);
            start_field(&stat);
            keeper("", "", &groups, "");
        }
    }
}

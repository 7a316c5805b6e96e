//! Linux: `/proc`.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use cockpit_model::host::Pressure;
use rustix::time::{ClockId, clock_gettime};

use super::Reading;
use crate::pressure;
use crate::rate::Counters;

/// The fields of `/proc/<pid>/stat` that we use (see `proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Processor time in user and kernel mode, in ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// Start after boot, in ticks.
    pub start_ticks: u64,
    /// Resident pages.
    pub resident_pages: u64,
    /// Whether it has ended and waits for its parent.
    pub zombie: bool,
}

/// Reads one line of `/proc/<pid>/stat`. The name of the program stands in parentheses and may hold
/// spaces and parentheses itself, so counting begins after the last one.
pub fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end_of_name = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end_of_name + 1..)?).ok()?;
    // `state` is field 3 and the first one here.
    let mut fields = rest.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X" | "x");
    let utime: u64 = fields.nth(14 - 4)?.parse().ok()?;
    let stime: u64 = fields.next()?.parse().ok()?;
    let threads: u64 = fields.nth(20 - 16)?.parse().ok()?;
    let start_ticks: u64 = fields.nth(22 - 21)?.parse().ok()?;
    let resident_pages: i64 = fields.nth(24 - 23)?.parse().ok()?;
    Some(Stat {
        cpu_ticks: utime.saturating_add(stime),
        threads,
        start_ticks,
        resident_pages: u64::try_from(resident_pages).unwrap_or(0),
        zombie,
    })
}

/// The interfaces of `/proc/net/dev`, without loopback.
pub fn parse_net_dev(text: &str) -> Vec<(String, Counters)> {
    text.lines()
        .filter_map(|line| {
            let (name, figures) = line.split_once(':')?;
            let name = name.trim();
            if name == "lo" {
                return None;
            }
            let mut figures = figures.split_ascii_whitespace();
            let received = figures.next()?.parse().ok()?;
            let sent = figures.nth(7)?.parse().ok()?;
            Some((name.to_owned(), Counters { received, sent }))
        })
        .collect()
}

/// The figures of one process; `None` when there is no such process, or it has ended.
pub(crate) fn read_process(pid: u32, buffer: &mut Vec<u8>) -> Option<Reading> {
    read_into(&format!("/proc/{pid}/stat"), buffer)?;
    let stat = parse_stat(buffer)?;
    if stat.zombie {
        return None;
    }
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let since_boot = clock_gettime(ClockId::Boottime);
    let since_boot = Duration::new(
        u64::try_from(since_boot.tv_sec).unwrap_or(0),
        u32::try_from(since_boot.tv_nsec).unwrap_or(0),
    );
    Some(Reading {
        start: stat.start_ticks,
        age: since_boot.saturating_sub(ticks(stat.start_ticks, per_second)),
        cpu: ticks(stat.cpu_ticks, per_second),
        memory: stat
            .resident_pages
            .saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(4096)),
        single_threaded: stat.threads == 1,
    })
}

/// The children of a process, added to `into`. A child stands in the list of the thread that
/// started it, so a process of many threads has as many lists.
pub(crate) fn read_children(
    pid: u32,
    single_threaded: bool,
    buffer: &mut Vec<u8>,
    into: &mut Vec<u32>,
) {
    if single_threaded {
        children_of_thread(pid, pid, buffer, into);
        return;
    }
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return;
    };
    for thread in threads.flatten() {
        if let Some(tid) = thread.file_name().to_str().and_then(|tid| tid.parse().ok()) {
            children_of_thread(pid, tid, buffer, into);
        }
    }
}

fn children_of_thread(pid: u32, tid: u32, buffer: &mut Vec<u8>, into: &mut Vec<u32>) {
    if read_into(&format!("/proc/{pid}/task/{tid}/children"), buffer).is_none() {
        return;
    }
    let children = std::str::from_utf8(buffer).unwrap_or_default();
    into.extend(
        children
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse::<u32>().ok()),
    );
}

/// How hard the kernel works for memory; `None` without pressure stall information.
pub(crate) fn memory_pressure(buffer: &mut Vec<u8>) -> Option<Pressure> {
    read_into("/proc/pressure/memory", buffer)?;
    pressure::from_psi(std::str::from_utf8(buffer).ok()?)
}

/// Bytes received and sent since boot, by interface.
pub(crate) fn network_counters(buffer: &mut Vec<u8>) -> Vec<(String, Counters)> {
    if read_into("/proc/net/dev", buffer).is_none() {
        return Vec::new();
    }
    parse_net_dev(std::str::from_utf8(buffer).unwrap_or_default())
}

/// Linux does not tell efficiency cores from others in a way that holds for every machine.
pub(crate) const fn efficiency_cores() -> Option<u16> {
    None
}

fn ticks(ticks: u64, per_second: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(1000) / per_second)
}

fn read_into(path: &str, buffer: &mut Vec<u8>) -> Option<()> {
    buffer.clear();
    File::open(path).ok()?.read_to_end(buffer).ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
    use super::*;

    #[test]
    fn reads_a_recorded_stat_whose_name_is_hostile() {
        let text = b"4242 (a) R (b) c) S 1 4242 4242 0 -1 4194304 917 0 11 0 37 14 0 0 20 0 11 0 \
            8846231 1094139904 18023 18446744073709551615 1 1 0 0 0 0 0 4096 134235650 0 0 0 17 1 0";
        assert_eq!(
            parse_stat(text).unwrap(),
            Stat {
                cpu_ticks: 51,
                threads: 11,
                start_ticks: 8_846_231,
                resident_pages: 18_023,
                zombie: false
            }
        );
    }

    #[test]
    fn a_zombie_and_a_torn_line_are_told() {
        let zombie = b"7 (x) Z 1 7 7 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 5 0 0 0";
        assert!(parse_stat(zombie).unwrap().zombie);
        assert_eq!(parse_stat(b"7 (x) S 1 7 7 0"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn reads_a_recorded_net_dev_without_loopback() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo: 9130462   23410    0    0    0     0          0         0  9130462   23410    0    0    0     0       0          0\n  \
            eth0: 731522831  512341    0    0    0     0          0         0 28441377  201223    0    0    0     0       0          0\n\
            wlan0:12 1 0 0 0 0 0 0 34 1 0 0 0 0 0 0\n";
        assert_eq!(
            parse_net_dev(text),
            vec![
                (
                    "eth0".to_owned(),
                    Counters {
                        received: 731_522_831,
                        sent: 28_441_377
                    }
                ),
                (
                    "wlan0".to_owned(),
                    Counters {
                        received: 12,
                        sent: 34
                    }
                ),
            ]
        );
    }

    #[test]
    fn this_process_and_its_child_are_found() {
        let mut buffer = Vec::new();
        let me = read_process(std::process::id(), &mut buffer).unwrap();
        assert!(me.memory > 0);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let mut children = Vec::new();
        read_children(std::process::id(), false, &mut buffer, &mut children);
        let seen = read_process(child.id(), &mut buffer);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(children.contains(&child.id()));
        assert!(seen.unwrap().age < me.age + Duration::from_secs(1));
        assert_eq!(read_process(child.id(), &mut buffer), None);
    }
}

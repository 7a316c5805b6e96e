//! The processes that use most: the whole table, read only while someone looks.

use std::collections::HashMap;
use std::time::Duration;

use cockpit_model::host::Process;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use crate::cpu_time::{self, CpuTime};
use crate::os::Reading;

const EVERY: Duration = Duration::from_secs(10);
const MOST: usize = 10;

/// Made when someone looks and dropped when nobody does.
#[derive(Debug)]
pub(crate) struct Top {
    system: System,
    times: CpuTime,
    since: Duration,
    readings: u32,
    last: Vec<Process>,
}

impl Top {
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            system: System::new().ok()?,
            times: CpuTime::default(),
            since: Duration::ZERO,
            readings: 0,
            last: Vec::new(),
        })
    }

    /// The list as of the last reading. The first is a second after watching began: until there are
    /// two readings nobody's use is known.
    pub(crate) fn sample(
        &mut self,
        elapsed: Duration,
        services: &HashMap<u32, String>,
    ) -> Vec<Process> {
        self.since = self.since.saturating_add(elapsed);
        if self.readings >= 2 && self.since < EVERY {
            return self.last.clone();
        }
        // What was read for the first time just now has no elapsed time to speak of.
        let since = if self.readings == 0 {
            Duration::ZERO
        } else {
            self.since
        };
        self.since = Duration::ZERO;
        self.readings = self.readings.saturating_add(1);
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing()
                .with_cpu()
                .with_memory()
                .without_tasks(),
        );
        let mut all: Vec<Process> = self
            .system
            .processes()
            .values()
            .filter_map(|process| {
                let reading = Reading {
                    start: process.start_time(),
                    age: Duration::from_secs(process.run_time()),
                    cpu: Duration::from_millis(process.accumulated_cpu_time()),
                    memory: process.memory(),
                    single_threaded: false,
                };
                let pid = process.pid().as_u32();
                let spent = self.times.spent(pid, &reading, since)?;
                Some(Process {
                    pid,
                    name: process.name().to_string_lossy().into_owned(),
                    cpu_percent: cpu_time::percent(spent, since),
                    memory_bytes: reading.memory,
                    service: services.get(&pid).cloned(),
                })
            })
            .collect();
        self.times.end_of_turn();
        self.last = if since.is_zero() {
            Vec::new()
        } else {
            most(&mut all)
        };
        self.last.clone()
    }
}

/// The heaviest by processor and by memory, half of the places each, then by processor.
fn most(all: &mut Vec<Process>) -> Vec<Process> {
    all.sort_by_key(|process| std::cmp::Reverse(process.memory_bytes));
    let mut by_cpu = all.split_off(all.len().min(MOST / 2));
    by_cpu.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent));
    by_cpu.truncate(MOST - MOST / 2);
    all.append(&mut by_cpu);
    all.sort_by(|a, b| {
        b.cpu_percent
            .total_cmp(&a.cpu_percent)
            .then(b.memory_bytes.cmp(&a.memory_bytes))
    });
    std::mem::take(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_and_the_largest_both_have_a_place() {
        let mut all: Vec<Process> = (0..100_u32)
            .map(|pid| Process {
                pid,
                name: format!("p{pid}"),
                cpu_percent: pid as f32,
                memory_bytes: u64::from(100 - pid),
                service: None,
            })
            .collect();
        let pids: Vec<u32> = most(&mut all).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [99, 98, 97, 96, 95, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn this_process_can_be_listed() {
        let Some(mut top) = Top::new() else {
            return;
        };
        let services = HashMap::from([(std::process::id(), "me".to_owned())]);
        assert!(top.sample(Duration::from_secs(1), &services).is_empty());
        let listed = top.sample(Duration::from_secs(1), &services);
        assert!(!listed.is_empty() && listed.len() <= MOST);
        assert!(listed.iter().all(|process| process.cpu_percent.is_finite()));
    }
}

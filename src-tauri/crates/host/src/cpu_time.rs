//! Processor use of processes from the processor time each has used since its start.

use std::collections::HashMap;
use std::time::Duration;

use crate::os::Reading;

/// What each process had used when it was last read. A process is its pid *and* its start, so a
/// reused pid is a new process.
#[derive(Debug, Default)]
pub struct CpuTime {
    last: HashMap<u32, Entry>,
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    start: u64,
    cpu: Duration,
    turn: u64,
}

impl CpuTime {
    /// The processor time a process has used since its last reading, `elapsed` ago.
    ///
    /// A process that started since then has used all of its time since then. `None`: it ran before
    /// we first saw it, and what it used of late cannot be known until the next reading.
    pub fn spent(&mut self, pid: u32, reading: &Reading, elapsed: Duration) -> Option<Duration> {
        let entry = Entry {
            start: reading.start,
            cpu: reading.cpu,
            turn: self.turn,
        };
        match self.last.insert(pid, entry) {
            Some(before) if before.start == reading.start => {
                Some(reading.cpu.saturating_sub(before.cpu))
            }
            _ if reading.age <= elapsed => Some(reading.cpu),
            _ => None,
        }
    }

    /// Forgets every process that was not read since the last call.
    pub fn end_of_turn(&mut self) {
        let turn = self.turn;
        self.last.retain(|_, entry| entry.turn == turn);
        self.turn += 1;
    }
}

/// Percent of one core.
pub fn percent(spent: Duration, elapsed: Duration) -> f32 {
    if elapsed.is_zero() {
        return 0.0;
    }
    (spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(start: u64, age_ms: u64, cpu_ms: u64) -> Reading {
        Reading {
            start,
            age: Duration::from_millis(age_ms),
            cpu: Duration::from_millis(cpu_ms),
            memory: 0,
            single_threaded: true,
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_old_stranger_is_unknown_once_and_then_counted() {
        let mut times = CpuTime::default();
        assert_eq!(times.spent(7, &reading(1, 90_000, 40_000), SECOND), None);
        times.end_of_turn();
        assert_eq!(
            times.spent(7, &reading(1, 91_000, 40_250), SECOND),
            Some(Duration::from_millis(250))
        );
    }

    #[test]
    fn a_reused_pid_does_not_inherit() {
        let mut times = CpuTime::default();
        times.spent(7, &reading(1, 90_000, 40_000), SECOND);
        times.end_of_turn();
        assert_eq!(
            times.spent(7, &reading(2, 300, 20), SECOND),
            Some(Duration::from_millis(20))
        );
    }

    #[test]
    fn who_is_not_read_is_forgotten() {
        let mut times = CpuTime::default();
        times.spent(7, &reading(1, 90_000, 40_000), SECOND);
        times.end_of_turn();
        times.end_of_turn();
        assert_eq!(times.spent(7, &reading(1, 93_000, 41_000), SECOND), None);
    }

    proptest! {
        #[test]
        fn what_is_spent_sums_to_what_was_used(steps in proptest::collection::vec(0u64..2_000, 1..50)) {
            let mut times = CpuTime::default();
            let (mut used, mut told) = (0, Duration::ZERO);
            for (turn, step) in (0u64..).zip(&steps) {
                used += step;
                let spent = times.spent(9, &reading(3, turn * 1_000, used), SECOND);
                told += spent.unwrap_or_default();
                times.end_of_turn();
            }
            prop_assert_eq!(told, Duration::from_millis(used));
        }
    }
}

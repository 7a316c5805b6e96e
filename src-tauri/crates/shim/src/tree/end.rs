//! Ending a tree whose shim is gone.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Identity, find_marked, os};

/// How long after SIGKILL a process may take before it is given up.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Processes that outlived SIGKILL: stuck in the kernel, or not ours to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover(pub Vec<Identity>);

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pids: Vec<String> = self.0.iter().map(|id| id.pid.to_string()).collect();
        write!(f, "processes {} outlived SIGKILL", pids.join(", "))
    }
}

impl std::error::Error for Leftover {}

/// Ends everything of the instance that was started with this marker and whose shim is gone, as a living shim
/// would: `signal` to the leader's group, and to the rest once the leader is gone; SIGKILL to what is left after
/// `grace`. Returns the processes that were there.
///
/// Blocks until nothing is left, verified. A signal number that is none counts as SIGTERM.
///
/// # Errors
///
/// [`Leftover`] if something is still there ten seconds after SIGKILL.
pub fn end_marked(
    marker: &str,
    leader: Option<Identity>,
    signal: i32,
    grace: Duration,
) -> Result<Vec<Identity>, Leftover> {
    let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
    let first = find_marked(marker, leader);
    let mut left = first.clone();
    let mut told: Vec<Identity> = Vec::new();
    let deadline = Instant::now() + grace;
    let mut pause = Duration::from_millis(1);
    while !left.is_empty() && Instant::now() < deadline {
        for id in addressed(&left, leader) {
            if !told.contains(&id) {
                id.signal(signal);
                id.signal(Signal::CONT);
                told.push(id);
            }
        }
        wait(&mut pause, deadline);
        left.retain(|id| id.is_alive());
        if left.is_empty() {
            left = find_marked(marker, leader);
        }
    }
    let give_up = Instant::now() + KILL_TIMEOUT;
    let mut pause = Duration::from_millis(1);
    while !left.is_empty() {
        for id in &left {
            id.signal(Signal::KILL);
        }
        wait(&mut pause, give_up);
        left = find_marked(marker, leader);
        if !left.is_empty() && Instant::now() >= give_up {
            return Err(Leftover(left));
        }
    }
    Ok(first)
}

/// Who gets the signal now: while the leader lives, its group (it ends its own children as it knows best);
/// after that, everybody.
fn addressed(left: &[Identity], leader: Option<Identity>) -> Vec<Identity> {
    match leader.filter(|leader| leader.is_alive()) {
        None => left.to_vec(),
        Some(leader) => left
            .iter()
            .filter(|id| os::stat(id.pid).is_some_and(|stat| stat.group == leader.pid))
            .copied()
            .collect(),
    }
}

fn wait(pause: &mut Duration, until: Instant) {
    std::thread::sleep((*pause).min(until.saturating_duration_since(Instant::now())));
    *pause = (*pause * 2).min(Duration::from_millis(50));
}

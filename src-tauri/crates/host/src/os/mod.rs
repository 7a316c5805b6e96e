//! What differs between the systems: one process's figures, its children, the pressure on memory,
//! the network's counters, the efficiency cores. Each system offers the same functions.

use std::time::Duration;

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux as current;

#[cfg(target_os = "macos")]
pub mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos as current;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("cockpit-host knows Linux and macOS only");

/// One process as the system reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Its start, in the system's own unit: with the pid, its identity.
    pub start: u64,
    /// How long ago it started.
    pub age: Duration,
    /// Processor time used since its start, over all threads.
    pub cpu: Duration,
    /// Memory in bytes: resident on Linux; on macOS the larger of resident and footprint, because
    /// the footprint misses mapped model files and the resident size misses what the GPU holds.
    pub memory: u64,
    /// Whether it has one thread only; decides how its children are found. `false` if unknown.
    pub single_threaded: bool,
}

//! Samples of the machine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The machine at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// When.
    pub at: Timestamp,
    /// Processor.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Volumes that hold data.
    pub disks: Vec<Disk>,
    /// All interfaces but loopback.
    pub network: Network,
    /// Graphics processor, where it can be read without root.
    pub gpu: Option<Gpu>,
    /// The cockpit's own cost.
    pub cockpit: Cost,
    /// The processes that use most, at most 10.
    pub top: Vec<Process>,
}

/// Processor use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Cpu {
    /// 0–100 over all cores.
    pub percent: f32,
    /// 0–100 of each core.
    pub cores: Vec<f32>,
    /// How many of the cores, counted from the first, are efficiency cores (Apple silicon); null elsewhere.
    pub efficiency_cores: Option<u16>,
    /// One-minute load average.
    pub load_1m: f64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Memory {
    /// Installed.
    pub total_bytes: u64,
    /// In use, not counting what can be reclaimed at once.
    pub used_bytes: u64,
    /// Available to a new process.
    pub free_bytes: u64,
    /// Swap in use.
    pub swap_used_bytes: u64,
    /// Swap there is.
    pub swap_total_bytes: u64,
    /// `normal`, `warning` or `critical`; null when the system does not tell.
    pub pressure: Option<Pressure>,
    /// Who uses it.
    pub split: Split,
}

/// How hard the system works for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pressure {
    /// None to speak of.
    Normal,
    /// Reclaiming.
    Warning,
    /// Stalling.
    Critical,
}

/// Memory by user; sums to the total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Split {
    /// The model server and its models.
    pub models_bytes: u64,
    /// The other services of this cockpit.
    pub services_bytes: u64,
    /// Everything else.
    pub other_bytes: u64,
    /// Nobody.
    pub free_bytes: u64,
    /// Each service on its own.
    pub by_service: BTreeMap<String, u64>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    /// Its size.
    pub total_bytes: u64,
    /// What is available.
    pub free_bytes: u64,
    /// Days until it is full at the pace of the last day; null when it is not filling, or not known yet.
    pub days_to_full: Option<f64>,
    /// Read.
    pub read_bytes_per_s: f64,
    /// Written.
    pub write_bytes_per_s: f64,
}

/// Traffic of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Network {
    /// Received.
    pub rx_bytes_per_s: f64,
    /// Sent.
    pub tx_bytes_per_s: f64,
}

/// Graphics processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// 0–100; null when not told.
    pub percent: Option<f32>,
    /// Memory in use; null when not told.
    pub memory_used_bytes: Option<u64>,
}

/// What the cockpit itself costs: engine and shims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Cost {
    /// 100 = one core.
    pub cpu_percent: f32,
    /// Resident.
    pub memory_bytes: u64,
}

/// A process of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// 100 = one core.
    pub cpu_percent: f32,
    /// Resident.
    pub memory_bytes: u64,
    /// The service it belongs to, if any.
    pub service: Option<String>,
}

/// `GET /api/host`: the newest sample and series over a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// The newest sample.
    #[serde(flatten)]
    pub now: HostSample,
    /// Series over the window.
    pub series: Series,
}

/// Columns of equal length over time, reduced to what a screen can show (at most 2,000 points).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Series {
    /// Milliseconds between two points.
    pub step_ms: u64,
    /// The points' times, Unix milliseconds.
    pub at_ms: Vec<i64>,
    /// Name → one value a point; null where nothing was measured. Names: `cpu_percent`,
    /// `memory_used_bytes`, `swap_used_bytes`, `rx_bytes_per_s`, `tx_bytes_per_s`, `gpu_percent`,
    /// `cockpit_cpu_percent`, `cockpit_memory_bytes`, `service.NAME.cpu_percent`, `service.NAME.memory_bytes`.
    pub values: BTreeMap<String, Vec<Option<f64>>>,
}

/// CPU and memory of one service instance's whole tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceUse {
    /// The service.
    pub service: String,
    /// Its instance.
    pub instance: u16,
    /// 100 = one core.
    pub cpu_percent: f32,
    /// Resident.
    pub memory_bytes: u64,
}

//! Puts the parts together: one [`HostSample`] a second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cockpit_model::host::{Cost, Cpu, HostSample, InstanceUse, Memory, Network};
use jiff::Timestamp;
use sysinfo::{CpuRefreshKind, System};

use crate::children::{Root, Trees};
use crate::cpu_time::{self, CpuTime};
use crate::gpu::GpuReader;
use crate::os;
use crate::rate::Rates;
use crate::split::{self, Tree};
use crate::top::Top;
use crate::volumes::Volumes;

/// A running instance whose tree is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its service.
    pub service: String,
    /// Its number.
    pub instance: u16,
    /// Its leader.
    pub pid: u32,
    /// The shim that owns it; `None` when it is not ours.
    pub shim_pid: Option<u32>,
    /// Whether its memory counts as models.
    pub is_model_server: bool,
}

/// Measures the machine. Make one, and call [`Sampler::sample`] once a second from a thread that
/// may block.
#[derive(Debug)]
pub struct Sampler {
    system: Option<System>,
    efficiency_cores: Option<u16>,
    network: Rates,
    volumes: Volumes,
    gpu: GpuReader,
    trees: Trees,
    times: CpuTime,
    top: Option<Top>,
    primed_at: Option<Instant>,
    buffer: Vec<u8>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampler {
    /// Takes the first reading of everything that is a rate.
    pub fn new() -> Self {
        let mut buffer = Vec::with_capacity(4096);
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        }
        let mut network = Rates::default();
        network.advance_sum(os::current::network_counters(&mut buffer), Duration::ZERO);
        let mut times = CpuTime::default();
        let own = std::process::id();
        if let Some(reading) = os::current::read_process(own, &mut buffer) {
            times.spent(own, &reading, Duration::ZERO);
        }
        times.end_of_turn();
        Self {
            system,
            efficiency_cores: os::current::efficiency_cores(),
            network,
            volumes: Volumes::new(),
            gpu: GpuReader::new(),
            trees: Trees::default(),
            times,
            top: None,
            primed_at: Some(Instant::now()),
            buffer,
        }
    }

    /// Whether someone looks at the list of processes; while nobody does it is empty and costs nothing.
    pub fn set_watching(&mut self, watching: bool) {
        if watching != self.top.is_some() {
            self.top = watching.then(Top::new).flatten();
        }
    }

    /// Gives what is known of a volume's free space from before this sampler was made, oldest first,
    /// so that days-to-full does not start from nothing.
    pub fn seed_disk_history(&mut self, mount: &str, points: &[(Timestamp, u64)]) {
        self.volumes.seed(mount, points);
    }

    /// Measures the machine, our instances (`ours`) and the cockpit itself.
    ///
    /// `elapsed` is the monotonic time since the call before; on the first call it is not used.
    /// Instances whose process has gone, or whose processor use is not known yet, are left out of
    /// the second part.
    pub fn sample(
        &mut self,
        ours: &[Watched],
        now: Timestamp,
        elapsed: Duration,
    ) -> (HostSample, Vec<InstanceUse>) {
        let elapsed = self.primed_at.take().map_or(elapsed, since_primed);
        let cpu = self.cpu();
        let processes = self.processes(ours, elapsed);
        let memory = self.memory(&processes.trees);
        let network = self
            .network
            .advance_sum(os::current::network_counters(&mut self.buffer), elapsed);
        let sample = HostSample {
            at: now,
            cpu,
            memory,
            disks: self.volumes.sample(now, elapsed),
            network: Network {
                rx_bytes_per_s: network.received,
                tx_bytes_per_s: network.sent,
            },
            gpu: self.gpu.sample(elapsed),
            cockpit: processes.cockpit,
            top: self
                .top
                .as_mut()
                .map(|top| top.sample(elapsed, &processes.services))
                .unwrap_or_default(),
        };
        (sample, processes.uses)
    }

    fn cpu(&mut self) -> Cpu {
        let Some(system) = &mut self.system else {
            return Cpu::default();
        };
        system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
        Cpu {
            percent: as_percent(system.global_cpu_usage()),
            cores: system
                .cpus()
                .iter()
                .map(|core| as_percent(core.usage()))
                .collect(),
            efficiency_cores: self.efficiency_cores,
            load_1m: System::load_average().map_or(0.0, |load| load.one),
        }
    }

    fn memory(&mut self, trees: &[Tree<'_>]) -> Memory {
        let Some(system) = &mut self.system else {
            return Memory::default();
        };
        system.refresh_memory();
        let total = system.total_memory();
        let free = system.available_memory().min(total);
        Memory {
            total_bytes: total,
            used_bytes: total - free,
            free_bytes: free,
            swap_used_bytes: system.used_swap(),
            swap_total_bytes: system.total_swap(),
            pressure: os::current::memory_pressure(&mut self.buffer),
            split: split::split(total, free, trees),
        }
    }

    fn processes<'a>(&mut self, ours: &'a [Watched], elapsed: Duration) -> Processes<'a> {
        let Self {
            trees,
            times,
            buffer,
            top,
            ..
        } = self;
        let mut files = Vec::new();
        let mut read = |pid: u32| os::current::read_process(pid, &mut files);
        let mut result = Processes::default();
        for watched in ours {
            let root = Root {
                pid: watched.pid,
                shim: watched.shim_pid,
            };
            let (mut memory, mut spent, mut known, mut alive) =
                (0_u64, Duration::ZERO, true, false);
            for pid in trees.members(root, &mut read, buffer) {
                let Some(reading) = read(*pid) else {
                    continue;
                };
                alive = true;
                memory = memory.saturating_add(reading.memory);
                match times.spent(*pid, &reading, elapsed) {
                    Some(part) => spent += part,
                    None => known &= *pid != watched.pid,
                }
                if top.is_some() {
                    result.services.insert(*pid, watched.service.clone());
                }
            }
            if alive {
                result.trees.push(Tree {
                    service: &watched.service,
                    is_model_server: watched.is_model_server,
                    memory,
                });
            }
            if alive && known {
                result.uses.push(InstanceUse {
                    service: watched.service.clone(),
                    instance: watched.instance,
                    cpu_percent: cpu_time::percent(spent, elapsed),
                    memory_bytes: memory,
                });
            }
        }
        let shims = ours.iter().filter_map(|watched| watched.shim_pid);
        let mut spent = Duration::ZERO;
        for pid in shims.chain([std::process::id()]) {
            if let Some(reading) = read(pid) {
                result.cockpit.memory_bytes += reading.memory;
                spent += times.spent(pid, &reading, elapsed).unwrap_or_default();
            }
        }
        result.cockpit.cpu_percent = cpu_time::percent(spent, elapsed);
        times.end_of_turn();
        trees.end_of_turn();
        result
    }
}

#[derive(Default)]
struct Processes<'a> {
    trees: Vec<Tree<'a>>,
    uses: Vec<InstanceUse>,
    cockpit: Cost,
    services: HashMap<u32, String>,
}

/// Waits until there is enough time between the first two readings, and says how much there is.
fn since_primed(at: Instant) -> Duration {
    if let Some(rest) = sysinfo::MINIMUM_CPU_UPDATE_INTERVAL.checked_sub(at.elapsed()) {
        std::thread::sleep(rest);
    }
    at.elapsed()
}

fn as_percent(value: f32) -> f32 {
    if value.is_finite() {
        value.clamp(0.0, 100.0)
    } else {
        0.0
    }
}

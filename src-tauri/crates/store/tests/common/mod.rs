//! Samples and events for the tests.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests; not every one uses all of it"
)]

use cockpit_model::host::{Cost, Cpu, Disk, HostSample, InstanceUse, Memory, Network};
use cockpit_model::{Event, EventBody};
use jiff::Timestamp;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn sample(second: i64, cpu: f32) -> HostSample {
    HostSample {
        at: at(second),
        cpu: Cpu {
            percent: cpu,
            ..Cpu::default()
        },
        memory: Memory {
            total_bytes: 16 << 20,
            used_bytes: 8 << 20,
            free_bytes: 8 << 20,
            swap_used_bytes: 4096,
            ..Memory::default()
        },
        disks: vec![Disk {
            mount: "/".to_owned(),
            total_bytes: 1 << 40,
            free_bytes: 1 << 39,
            days_to_full: None,
            read_bytes_per_s: 0.0,
            write_bytes_per_s: 0.0,
        }],
        network: Network {
            rx_bytes_per_s: 1000.0,
            tx_bytes_per_s: 500.0,
        },
        gpu: None,
        cockpit: Cost {
            cpu_percent: 0.25,
            memory_bytes: 20 << 20,
        },
        top: Vec::new(),
    }
}

/// Two instances of one service.
pub fn uses(service: &str, cpu: f32) -> Vec<InstanceUse> {
    (0..2)
        .map(|instance| InstanceUse {
            service: service.to_owned(),
            instance,
            cpu_percent: cpu,
            memory_bytes: 1 << 20,
        })
        .collect()
}

pub fn event(seq: u64, second: i64, service: &str) -> Event {
    Event {
        seq,
        at: at(second),
        body: EventBody::ServiceDown {
            service: service.to_owned(),
            cause: format!("cause {seq}"),
        },
    }
}

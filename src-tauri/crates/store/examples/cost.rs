//! What an hour of samples costs: processor time, bytes on the disk, and the time a chart takes.
//!
//! `cargo run --release -p cockpit-store --example cost`

use std::time::{Duration, Instant};

use cockpit_model::host::{Cost, Cpu, Disk, HostSample, InstanceUse, Memory, Network};
use cockpit_store::Telemetry;
use jiff::Timestamp;

const SECONDS: i64 = 3600;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("telemetry.db");
    let (telemetry, _) = Telemetry::open(&path)?;
    let start = Timestamp::now().as_second() - SECONDS;
    let before = process_cpu();
    for second in 0..SECONDS {
        let uses: Vec<_> = ["ollama", "supabase", "api"]
            .map(|name| instance(name, second))
            .into();
        telemetry.record_host(&sample(start + second)?, &uses);
        if second % 10 == 9 {
            // As often as the writer commits by itself.
            telemetry.flush()?;
        }
    }
    let cpu = process_cpu() - before;
    println!(
        "one sample a second: {:.4} % of a core ({:?} each)",
        cpu.as_secs_f64() / SECONDS as f64 * 100.0,
        cpu / u32::try_from(SECONDS)?
    );
    let begin = Instant::now();
    let series = telemetry.host_series(Duration::from_secs(3600), 2000, Timestamp::now())?;
    println!(
        "a chart of {} points over that hour: {:?}",
        series.at_ms.len(),
        begin.elapsed()
    );
    telemetry.close();
    println!(
        "on the disk: {} KiB",
        std::fs::metadata(&path)?.len() / 1024
    );
    Ok(())
}

fn instance(service: &str, second: i64) -> InstanceUse {
    InstanceUse {
        service: service.to_owned(),
        instance: 0,
        cpu_percent: (second % 70) as f32,
        memory_bytes: 700_000_000 + second.unsigned_abs() * 4096,
    }
}

fn sample(second: i64) -> Result<HostSample, jiff::Error> {
    Ok(HostSample {
        at: Timestamp::from_second(second)?,
        cpu: Cpu {
            percent: (second % 90) as f32,
            ..Cpu::default()
        },
        memory: Memory {
            used_bytes: 40_000_000_000 + second.unsigned_abs() % 977 * 65_536,
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
            rx_bytes_per_s: 12_345.6,
            tx_bytes_per_s: 6543.2,
        },
        gpu: None,
        cockpit: Cost {
            cpu_percent: 0.4,
            memory_bytes: 25 << 20,
        },
        top: Vec::new(),
    })
}

/// Processor time of this process, all threads.
fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

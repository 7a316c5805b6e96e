//! Prints one sample of this machine as JSON, then what a sample costs on average.
//!
//! `cargo run -p cockpit-host --example sample [SAMPLES]`

use std::process::Command;
use std::time::{Duration, Instant};

use cockpit_host::{Sampler, Watched};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(20), |text| text.parse())?;
    let mut children: Vec<_> = (0..3)
        .map(|_| Command::new("sleep").arg("600").spawn())
        .collect::<Result<_, _>>()?;
    let ours: Vec<Watched> = (0..)
        .zip(&children)
        .map(|(instance, child)| Watched {
            service: "sleep".to_owned(),
            instance,
            pid: child.id(),
            shim_pid: None,
            is_model_server: false,
        })
        .collect();

    let mut sampler = Sampler::new();
    sampler.set_watching(true);
    sampler.sample(&ours, Timestamp::now(), Duration::ZERO);
    let mut last = Instant::now();
    let mut sample = |sampler: &mut Sampler| {
        std::thread::sleep(Duration::from_secs(1).saturating_sub(last.elapsed()));
        let elapsed = last.elapsed();
        last = Instant::now();
        sampler.sample(&ours, Timestamp::now(), elapsed)
    };
    let (host, uses) = sample(&mut sampler);
    println!("{}", serde_json::to_string_pretty(&host)?);
    println!("{}", serde_json::to_string(&uses)?);

    sampler.set_watching(false);
    let before = thread_cpu();
    for _ in 0..samples {
        sample(&mut sampler);
    }
    let each = (thread_cpu() - before) / samples.max(1);
    println!(
        "one sample: {each:?} of processor time = {:.3} % of a core at one a second",
        each.as_secs_f64() * 100.0
    );
    for child in &mut children {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

//! Once a second: measure the machine and our processes, see whether it slept.
//!
//! A thread of its own, because reading the kernel's files blocks; what it finds goes to the
//! supervisor (memory limits, the views), to the store and to the bus.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cockpit_host::{Sampler, Watched};
use cockpit_model::spec::Kind;
use cockpit_model::{EventBody, Mark, Timestamp};
use cockpit_platform::sleep::{SleepClock, SleepDetector};
use cockpit_supervisor::Supervisor;
use tokio_util::sync::CancellationToken;

use super::{Engine, whole};

const EVERY: Duration = Duration::from_secs(1);

/// The running thread.
pub(super) struct Pulse {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Ends it and waits for its end. Blocks.
    pub(super) fn join(self) {
        drop(self.stop);
        if let Some(Err(_)) = self.thread.map(JoinHandle::join) {
            tracing::error!("the thread that measures the machine had panicked");
        }
    }
}

/// Starts measuring.
pub(super) fn start(engine: &Arc<Engine>, stopping: CancellationToken) -> Pulse {
    let (stop, stopped) = channel::<()>();
    let engine = Arc::clone(engine);
    let spawned = std::thread::Builder::new()
        .name("pulse".to_owned())
        .spawn(move || {
            let mut sampler = Sampler::new();
            seed_disks(&engine, &mut sampler);
            let mut sleep = SleepDetector::default();
            let clock = SleepClock;
            let _ = sleep.observe(clock.slept_total());
            let mut last = Instant::now();
            loop {
                match stopped.recv_timeout(EVERY.saturating_sub(last.elapsed())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
                if stopping.is_cancelled() {
                    return;
                }
                let now = Instant::now();
                let elapsed = now.duration_since(last);
                last = now;
                if let Some(slept) = sleep.observe(clock.slept_total()) {
                    woke(&engine, slept);
                }
                beat(&engine, &mut sampler, elapsed);
            }
        });
    let thread = spawned
        .inspect_err(|error| tracing::error!(%error, "the machine cannot be measured"))
        .ok();
    Pulse { stop, thread }
}

fn woke(engine: &Engine, slept: Duration) {
    if let Some(supervisor) = engine.supervisor.get() {
        supervisor.woke(slept);
    }
    let slept_ms = u64::try_from(slept.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(slept_ms, "the machine slept");
    engine.publish(EventBody::Mark(Mark::Slept { slept_ms }));
}

fn beat(engine: &Engine, sampler: &mut Sampler, elapsed: Duration) {
    sampler.set_watching(engine.bus.readers() > super::follow::OWN_READERS);
    let supervisor = engine.supervisor.get();
    let ours = supervisor.map(|s| watched(engine, s)).unwrap_or_default();
    let (sample, uses) = sampler.sample(&ours, Timestamp::now(), elapsed);
    engine.telemetry.record_host(&sample, &uses);
    if let Some(supervisor) = supervisor {
        supervisor.usage(uses);
    }
    *whole(&engine.latest) = Some(sample.clone());
    engine.publish(EventBody::Host {
        host: Box::new(sample),
    });
    if let Some(calls) = engine.ended.told() {
        engine.publish(calls);
    }
}

fn watched(engine: &Engine, supervisor: &Supervisor) -> Vec<Watched> {
    let settings = engine.settings().clone();
    let is_model_server = |name: &str| {
        settings.as_ref().is_some_and(|config| {
            config
                .services
                .iter()
                .any(|s| s.kind == Kind::Ollama && s.name == name)
        })
    };
    supervisor
        .processes()
        .into_iter()
        .map(|process| Watched {
            is_model_server: is_model_server(&process.service),
            service: process.service,
            instance: process.instance,
            pid: process.pid,
            shim_pid: process.shim_pid,
        })
        .collect()
}

/// Gives the sampler what the store knows of the last day, so that days-to-full does not start from
/// nothing.
fn seed_disks(engine: &Engine, sampler: &mut Sampler) {
    let since = Timestamp::now() - Duration::from_secs(24 * 3600);
    match engine.telemetry.disk_histories(since) {
        Ok(volumes) => {
            for (mount, points) in volumes {
                sampler.seed_disk_history(&mount, &points);
            }
        }
        Err(error) => tracing::warn!(%error, "the disks' history cannot be read"),
    }
}

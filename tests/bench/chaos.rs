//! Kills at random: services, the engine, shims. Nothing may be left down, doubled or orphaned.

use std::time::{Duration, Instant};

use cockpit_model::Service;
use rand::Rng as _;
use rustix::process::Signal;

use crate::figure;
use crate::support::{Cockpit, is_alive, pid};

const SERVICES: usize = 20;
const KILLS: usize = 1000;
const ENGINE_KILLS: usize = 50;
const SHIM_KILLS: usize = 20;

pub(crate) async fn run() {
    let config: String = (0..SERVICES)
        .map(|i| {
            format!("[services.s{i}]\ncommand = [\"sleep\", \"100000\"]\nrestart = {{ max_delay = \"50ms\" }}\n")
        })
        .collect();
    let mut cockpit = Cockpit::new("");
    cockpit.write_config(&config);
    cockpit.serve().await;
    cockpit.wait_all_ready().await;

    let mut rng = rand::rng();
    let start = Instant::now();
    for _ in 0..KILLS {
        let running: Vec<u32> = cockpit
            .services()
            .await
            .iter()
            .filter_map(|s| s.instances[0].pid)
            .collect();
        if running.is_empty() {
            continue;
        }
        let victim = running[rng.random_range(0..running.len())];
        let _ = rustix::process::kill_process(crate::support::pid_of(victim), Signal::KILL);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..10))).await;
    }
    cockpit.wait_all_ready().await;
    let took = start.elapsed();
    report(
        &cockpit,
        &format!(
            "{KILLS} kills over {SERVICES} services in {:.0} s",
            took.as_secs_f64()
        ),
    )
    .await;

    let before: Vec<u32> = cockpit.services().await.iter().map(pid).collect();
    for _ in 0..ENGINE_KILLS {
        cockpit.kill_engine().await;
        cockpit.serve().await;
    }
    let after: Vec<u32> = cockpit.wait_all_ready().await.iter().map(pid).collect();
    let kept = before.iter().zip(&after).filter(|(a, b)| a == b).count();
    figure(
        &format!("{ENGINE_KILLS} kills of the engine: services with the pid they had"),
        format!("{kept} of {SERVICES}"),
        "all",
    );

    for _ in 0..SHIM_KILLS {
        let shims = cockpit.shims();
        let victim = shims[rng.random_range(0..shims.len())];
        let _ = rustix::process::kill_process(crate::support::pid_of(victim), Signal::KILL);
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..50))).await;
    }
    cockpit
        .wait("a shim for each, all ready", |all| {
            all.len() == SERVICES && all.iter().all(Service::is_ready)
        })
        .await;
    report(&cockpit, &format!("{SHIM_KILLS} kills of a shim")).await;
    let (code, _, error) = cockpit.verb(&["stop", "--all"]).await;
    assert_eq!(code, 0, "{error}");
    let left = cockpit.family().len();
    figure("processes left after stop --all", left, "0");
}

async fn report(cockpit: &Cockpit, what: &str) {
    let services = cockpit.services().await;
    let known: Vec<u32> = services.iter().filter_map(|s| s.instances[0].pid).collect();
    let down = services
        .iter()
        .filter(|s| s.instances[0].pid.is_none_or(|pid| !is_alive(pid)))
        .count();
    let alive = cockpit.family();
    let orphans = alive.iter().filter(|pid| !known.contains(pid)).count();
    let doubled = alive.len().saturating_sub(SERVICES);
    figure(
        &format!("{what}: down / doubled / orphaned"),
        format!("{down} / {doubled} / {orphans}"),
        "0 / 0 / 0",
    );
}

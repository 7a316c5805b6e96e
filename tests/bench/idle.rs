//! What the cockpit costs while nothing happens, and how soon it is there.

use std::time::{Duration, Instant};

use crate::proc::{cpu, memory, ms};
use crate::support::{Cockpit, exe, free_port};
use crate::{baseline, figure};

const WATCH: Duration = Duration::from_secs(30);

pub(crate) fn services(count: usize, every: &str) -> String {
    (0..count)
        .map(|i| {
            format!(
                "[services.s{i}]\ncommand = [\"{}\", \"simulate\", \"http\", \"--port\", \"{{port}}\"]\nlisten = \"127.0.0.1:{}\"\nready = {{ http = \"http://127.0.0.1:{{port}}/health\", every = \"{every}\" }}\n",
                exe().display(),
                free_port()
            )
        })
        .collect()
}

async fn settle_and_measure(cockpit: &Cockpit) -> (f64, f64) {
    tokio::time::sleep(Duration::from_secs(5)).await;
    let engine = cockpit.engine.as_ref().unwrap().id().unwrap();
    let shims = cockpit.shims();
    let total = |pids: &[u32]| pids.iter().map(|&pid| cpu(pid)).sum::<Duration>();
    let (start, engine_before, shims_before) = (Instant::now(), cpu(engine), total(&shims));
    tokio::time::sleep(WATCH).await;
    let wall = start.elapsed().as_secs_f64();
    let percent = |used: Duration| used.as_secs_f64() / wall * 100.0;
    (
        percent(cpu(engine) - engine_before),
        percent(total(&shims) - shims_before),
    )
}

pub(crate) async fn cold_start() {
    let program = exe();
    let mut bare = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        std::process::Command::new(program)
            .arg("--version")
            .output()
            .unwrap();
        bare.push(start.elapsed());
        let mut cockpit = Cockpit::new(&services(3, "5s"));
        let start = Instant::now();
        cockpit.serve().await;
        ours.push(start.elapsed());
        cockpit.verb(&["stop", "--all"]).await;
    }
    baseline(
        "the same program, --version",
        ms(crate::proc::quantile(&mut bare, 0.5)),
    );
    figure(
        "cold start to /readyz (asked every 5 ms), median",
        ms(crate::proc::quantile(&mut ours, 0.5)),
        "≤ 150 ms",
    );
}

pub(crate) async fn three() {
    let cockpit = Cockpit::start(&services(3, "5s")).await;
    cockpit.wait_all_ready().await;
    let (engine, shims) = settle_and_measure(&cockpit).await;
    let pid = cockpit.engine.as_ref().unwrap().id().unwrap();
    let shim = cockpit
        .shims()
        .iter()
        .map(|&pid| memory(pid, "Pss"))
        .max()
        .unwrap();
    figure("engine, of one core", format!("{engine:.2} %"), "≤ 0.5 %");
    figure(
        "all shims, of one core",
        format!("{shims:.2} %"),
        "(within it)",
    );
    figure(
        "engine, resident",
        format!("{:.1} MB", memory(pid, "Rss") as f64 / 1e3 * 1.024),
        "≤ 30 MB",
    );
    figure("the largest shim, PSS", format!("{shim} KiB"), "≤ 1 MB");
    cockpit.verb(&["stop", "--all"]).await;
}

pub(crate) async fn hundred() {
    let mut cockpit = Cockpit::new(&services(100, "5s"));
    let start = Instant::now();
    cockpit.serve().await;
    cockpit.wait_all_ready().await;
    figure(
        "all ready",
        format!("{:.2} s", start.elapsed().as_secs_f64()),
        "≤ 10 s",
    );
    let (engine, shims) = settle_and_measure(&cockpit).await;
    figure(
        "engine and shims, of one core",
        format!("{:.2} %", engine + shims),
        "≤ 3 %",
    );
    let pid = cockpit.engine.as_ref().unwrap().id().unwrap();
    figure(
        "engine, resident",
        format!("{:.1} MB", memory(pid, "Rss") as f64 / 1e3 * 1.024),
        "–",
    );
    cockpit.verb(&["stop", "--all"]).await;
}

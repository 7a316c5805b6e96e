//! A service that writes much: what share of its time goes into write().

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::proc::memory;
use crate::support::Cockpit;
use crate::{baseline, figure};

const RATE: usize = 50_000_000;
const TIME: Duration = Duration::from_secs(10);

/// The service: 50 MB/s of lines in pieces of 64 KiB for 10 s; then says how long it waited in write().
pub(crate) fn child(report: &str) {
    let line = format!(
        "{}\n",
        "a line of a talkative service, as long as they usually are ".repeat(2)
    );
    let piece = line.repeat(65536 / line.len());
    let mut out = std::io::stdout().lock();
    let start = Instant::now();
    let mut inside = Duration::ZERO;
    let mut written = 0;
    while start.elapsed() < TIME {
        let due = (start.elapsed().as_secs_f64() * RATE as f64) as usize;
        if written >= due {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let before = Instant::now();
        out.write_all(piece.as_bytes()).unwrap();
        inside += before.elapsed();
        written += piece.len();
    }
    let share = inside.as_secs_f64() / start.elapsed().as_secs_f64();
    std::fs::write(report, format!("{share} {written}")).unwrap();
    loop {
        std::thread::park();
    }
}

fn read(report: &std::path::Path) -> Option<(f64, usize)> {
    let text = std::fs::read_to_string(report).ok()?;
    let (share, written) = text.split_once(' ')?;
    Some((share.parse().ok()?, written.parse().ok()?))
}

pub(crate) async fn run() {
    let own = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("bare");
    let mut cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(dir.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let mut child = Command::new(&own)
        .args(["child-writer", report.to_str().unwrap()])
        .stdout(cat.stdin.take().unwrap())
        .spawn()
        .unwrap();
    let (bare, _) = wait(&report).await;
    child.kill().unwrap();
    child.wait().unwrap();
    cat.wait().unwrap();

    let mut cockpit = Cockpit::new("");
    let report = cockpit.data().join("report");
    cockpit.write_config(&format!(
        "[services.talker]\ncommand = [\"{}\", \"child-writer\", \"{}\"]\nlogs = {{ max_size = \"20MiB\", keep = 3 }}\n",
        own.display(),
        report.display()
    ));
    cockpit.serve().await;
    cockpit.wait_ready("talker").await;
    let shim = cockpit.shims()[0];
    let before = memory(shim, "Pss");
    let (share, written) = wait(&report).await;
    let disk: u64 = walk(&cockpit.data().join("logs"));
    baseline(
        "a pipe into cat > file, time in write()",
        format!("{:.1} %", bare * 100.0),
    );
    figure(
        "under the shim, time in write()",
        format!("{:.1} %", share * 100.0),
        "≤ 5 %",
    );
    figure(
        "written",
        format!("{:.0} MB", written as f64 / 1e6),
        "500 MB",
    );
    figure(
        "shim, PSS before → after",
        format!("{before} → {} KiB", memory(shim, "Pss")),
        "flat",
    );
    figure(
        "on disk",
        format!("{:.1} MiB", disk as f64 / 1048576.0),
        "≤ 80 MiB",
    );
}

async fn wait(report: &std::path::Path) -> (f64, usize) {
    loop {
        if let Some(found) = read(report) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn walk(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => walk(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

//! What the app costs while nobody looks at it: its window hidden, its window closed. Beside it, a
//! bare Tauri process with a menubar icon and no window.
//!
//! Counted are all processes of the app, the web view's too, and of each its share of what it has in
//! common with others (PSS). So each is measured alone, and other programs that show web pages on
//! this machine make all of them look smaller.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::idle::services;
use crate::proc::{cpu, memory, tree, wakeups};
use crate::screen::{Screen, until};
use crate::support::{Cockpit, exe};
use crate::{baseline, figure};

const WATCH: Duration = Duration::from_secs(30);
/// As long as this it must have done next to nothing before it counts as settled.
const QUIET: Duration = Duration::from_secs(5);
/// A screen that is drawn each second is never quiet.
const SETTLED_AT_LAST: Duration = Duration::from_secs(30);

/// What a tree of processes used while it was watched.
struct Cost {
    /// Of one core.
    percent: f64,
    wakeups: f64,
    pss_kib: u64,
    own_kib: u64,
    processes: usize,
}

impl Cost {
    fn processor(&self) -> String {
        format!("{:.2} %, {:.1} wakeups/s", self.percent, self.wakeups)
    }

    fn memory(&self) -> String {
        let mb = |kib: u64| kib as f64 / 1e3 * 1.024;
        format!(
            "{:.1} MB ({:.1} own), {} proc.",
            mb(self.pss_kib),
            mb(self.own_kib),
            self.processes
        )
    }
}

fn used(root: u32) -> Duration {
    tree(root).into_iter().map(cpu).sum()
}

async fn settle(root: u32) {
    let deadline = Instant::now() + SETTLED_AT_LAST;
    let mut last = used(root);
    while Instant::now() < deadline {
        tokio::time::sleep(QUIET).await;
        let now = used(root);
        if now.saturating_sub(last) <= QUIET.mul_f64(0.005) {
            break;
        }
        last = now;
    }
}

async fn watch(root: u32) -> Cost {
    let (start, used_before, woken_before) = (Instant::now(), used(root), wakeups(&tree(root)));
    tokio::time::sleep(WATCH).await;
    let wall = start.elapsed().as_secs_f64();
    let processes = tree(root);
    let woken = wakeups(&processes).into_iter().map(|(thread, count)| {
        let before = woken_before.get(&thread).copied().unwrap_or(0);
        count.saturating_sub(before)
    });
    let sum = |field| processes.iter().map(|&pid| memory(pid, field)).sum();
    Cost {
        percent: used(root).saturating_sub(used_before).as_secs_f64() / wall * 100.0,
        wakeups: woken.sum::<u64>() as f64 / wall,
        pss_kib: sum("Pss"),
        own_kib: sum("Pss_Anon"),
        processes: processes.len(),
    }
}

/// Ended when dropped.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    async fn cost(&self) -> Cost {
        settle(self.0.id()).await;
        watch(self.0.id()).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many clients the engine has: the icon's stream is one, the page's another. The kernel knows a
/// socket by the path it was bound to, before it was moved into its place; the shims' lie in `run/`.
fn clients(cockpit: &Cockpit) -> usize {
    const CONNECTED: &str = "03";
    let (data, shims) = (cockpit.data(), cockpit.data().join("run"));
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let engines = sockets.lines().filter(|line| {
        let mut fields = line.split_whitespace().skip(5);
        let state = fields.next();
        let path = fields.nth(1).map(Path::new);
        state == Some(CONNECTED)
            && path.is_some_and(|path| path.starts_with(data) && !path.starts_with(&shims))
    });
    engines.count()
}

/// A program that `make bench` has built; the others are built by cargo.
fn built(name: &str) -> Result<PathBuf, String> {
    let program = exe().with_file_name(name);
    if program.exists() {
        return Ok(program);
    }
    Err(format!(
        "{} was not built: run scripts/bench",
        program.display()
    ))
}

pub(crate) async fn run() {
    let dir = tempfile::tempdir().unwrap();
    let ready = built("studio-cockpit-app").and_then(|app| {
        let bare = built("examples/bare-tray")?;
        Ok((app, bare, Screen::start(dir.path())?))
    });
    let (app, bare, screen) = match ready {
        Ok(ready) => ready,
        Err(reason) => {
            println!("  NOT MEASURED: {reason}");
            return;
        }
    };

    // The first program on a screen asks what its graphics card can draw, and keeps the driver it
    // asked by; the answer stays with the screen. On a desk that was long ago.
    let first = Program::start(&mut screen.command(&bare));
    settle(first.0.id()).await;
    drop(first);
    let bare = Program::start(&mut screen.command(&bare));
    let least = bare.cost().await;
    drop(bare);

    let cockpit = Cockpit::start(&services(3, "5s")).await;
    cockpit.wait_all_ready().await;
    let mut command = screen.command(&app);
    let app = Program::start(command.arg("--data-dir").arg(cockpit.data()));
    let window = until("the window", || screen.window("Studio Cockpit")).await;
    let live = |wanted| {
        let cockpit = &cockpit;
        move || (clients(cockpit) == wanted).then_some(())
    };
    until("the Overview, live", live(2)).await;
    let visible = app.cost().await;
    screen.hide(window);
    until("the Overview, paused", live(1)).await;
    let hidden = app.cost().await;
    screen.close(window);
    until("the web view's end", || {
        (tree(app.0.id()).len() == 1).then_some(())
    })
    .await;
    until("the icon's stream", live(1)).await;
    let closed = app.cost().await;

    baseline("bare Tauri with an icon, of one core", least.processor());
    baseline("bare Tauri with an icon, memory (PSS)", least.memory());
    figure("window shown, of one core", visible.processor(), "–");
    figure("window shown, memory (PSS)", visible.memory(), "–");
    figure("window hidden, of one core", hidden.processor(), "≤ 0.5 %");
    figure("window hidden, memory (PSS)", hidden.memory(), "–");
    figure(
        "window closed, of one core",
        closed.processor(),
        "bare + 10 %",
    );
    figure(
        "window closed, memory (PSS)",
        closed.memory(),
        "bare + 10 %",
    );
    cockpit.verb(&["stop", "--all"]).await;
}

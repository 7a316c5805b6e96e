//! How long a killed service is away, beside a loop that does nothing but wait and spawn.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::proc::{monotonic, ms, quantile};
use crate::support::{Cockpit, signal};
use crate::{baseline, figure};

/// A service that is killed more often within a minute counts as crash looping, and waits.
const KILLS_EACH: usize = 4;
const SERVICES: usize = 60;

/// The service: says when it began and who it is, and stays.
pub(crate) fn child(socket: &str) {
    let began = monotonic();
    let said = format!("{} {}", std::process::id(), began.as_nanos());
    UnixDatagram::unbound()
        .unwrap()
        .send_to(said.as_bytes(), socket)
        .unwrap();
    loop {
        std::thread::park();
    }
}

/// Waits until a child says that it began.
fn began(socket: &UnixDatagram) -> (u32, Duration) {
    let mut buffer = [0; 64];
    let n = socket.recv(&mut buffer).unwrap();
    let text = std::str::from_utf8(&buffer[..n]).unwrap();
    let (pid, at) = text.split_once(' ').unwrap();
    (
        pid.parse().unwrap(),
        Duration::from_nanos(at.parse().unwrap()),
    )
}

fn listen(dir: &Path) -> (UnixDatagram, String) {
    let path = dir.join("stamp.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    (socket, path.display().to_string())
}

/// Kills each of them in turn, `KILLS_EACH` times; how long each was away, and who runs at the end.
fn rounds(socket: &UnixDatagram, services: usize, kills: usize) -> (Vec<Duration>, Vec<u32>) {
    let mut pids: Vec<u32> = (0..services).map(|_| began(socket).0).collect();
    let mut all = Vec::new();
    for _ in 0..kills {
        for pid in &mut pids {
            // The machine settles: what is measured is one death, not a burst.
            std::thread::sleep(Duration::from_millis(5));
            let killed = monotonic();
            signal(*pid, Signal::KILL);
            let (next, at) = began(socket);
            all.push(at.saturating_sub(killed));
            *pid = next;
        }
    }
    (all, pids)
}

pub(crate) async fn run() {
    let own = std::env::current_exe().unwrap();
    // First the loop that only waits and spawns.
    let dir = tempfile::tempdir().unwrap();
    let (socket, path) = listen(dir.path());
    let program = own.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let bare = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let mut child = Command::new(&program)
                .args(["child-stamp", &path])
                .spawn()
                .unwrap();
            child.wait().unwrap();
        }
    });
    let (mut plain, last) = rounds(&socket, 1, SERVICES * KILLS_EACH);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    // The last of them lives on until told.
    signal(last[0], Signal::KILL);
    bare.join().unwrap();

    let mut cockpit = Cockpit::new("");
    let (socket, path) = listen(cockpit.data());
    let services: String = (0..SERVICES)
        .map(|i| {
            format!(
                "[services.s{i}]\ncommand = [\"{}\", \"child-stamp\", \"{path}\"]\nrestart = {{ reset_after = \"1ms\" }}\n",
                own.display()
            )
        })
        .collect();
    cockpit.write_config(&services);
    cockpit.serve().await;
    let (mut ours, _) = tokio::task::spawn_blocking(move || rounds(&socket, SERVICES, KILLS_EACH))
        .await
        .unwrap();
    baseline("waitpid and spawn, median", ms(quantile(&mut plain, 0.5)));
    baseline("waitpid and spawn, p99", ms(quantile(&mut plain, 0.99)));
    figure(
        "the cockpit, median",
        ms(quantile(&mut ours, 0.5)),
        "≤ 3.5 ms",
    );
    figure("the cockpit, p99", ms(quantile(&mut ours, 0.99)), "≤ 15 ms");
}

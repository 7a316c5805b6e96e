//! The sampler against real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cockpit_host::{Sampler, Watched};
use jiff::Timestamp;

struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watched(pid: u32) -> Watched {
    Watched {
        service: "busy".to_owned(),
        instance: 3,
        pid,
        shim_pid: None,
        is_model_server: true,
    }
}

#[test]
fn a_busy_grandchild_counts_for_its_instance() {
    // The leader waits; its child spins until its parent's pipe closes or it is killed.
    let mut leader = Command::new("sh")
        .args(["-c", "sh -c 'echo $$; while :; do :; done' & wait"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(leader.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let spinner: u32 = line.trim().parse().unwrap();
    let leader = Kill(leader);

    let mut sampler = Sampler::new();
    let ours = [watched(leader.0.id())];
    let begin = Instant::now();
    let mut last = begin;
    let mut busiest = 0.0_f32;
    let mut host = None;
    // It has to show up; how soon depends on how busy this machine is.
    while busiest < 1.0 && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(300));
        let elapsed = last.elapsed();
        last = Instant::now();
        let (sample, uses) = sampler.sample(&ours, Timestamp::now(), elapsed);
        if let Some(found) = uses.first() {
            assert_eq!((found.service.as_str(), found.instance), ("busy", 3));
            assert!(found.memory_bytes > 0);
            busiest = busiest.max(found.cpu_percent);
        }
        host = Some(sample);
    }
    Command::new("kill")
        .args(["-9", &spinner.to_string()])
        .status()
        .unwrap();
    assert!(busiest >= 1.0, "the spinning grandchild was never seen");

    let host = host.unwrap();
    let split = &host.memory.split;
    assert!(split.models_bytes > 0, "{split:?}");
    assert_eq!(
        split.models_bytes + split.services_bytes + split.other_bytes + split.free_bytes,
        host.memory.total_bytes
    );
    assert!(host.cockpit.memory_bytes > 0);
    assert!(!host.cpu.cores.is_empty());
    assert!(host.top.is_empty(), "nobody looks");
}

#[test]
fn a_process_that_has_gone_is_left_out_not_zero() {
    let mut child = Kill(Command::new("sleep").arg("600").spawn().unwrap());
    let ours = [watched(child.0.id())];
    let mut sampler = Sampler::new();
    sampler.sample(&ours, Timestamp::now(), Duration::from_secs(1));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let (host, uses) = sampler.sample(&ours, Timestamp::now(), Duration::from_secs(1));
    assert!(uses.is_empty());
    assert!(host.memory.split.by_service.is_empty());
}

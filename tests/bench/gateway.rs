//! What the gateway costs: added latency beside going direct, throughput beside nginx, memory over a million
//! requests. Metering, ledger and the rules that hold by default are on.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::proc::{cpu, memory, quantile, tree};
use crate::support::{Cockpit, free_port};
use crate::upstream::Upstream;
use crate::wire::{Connection, request};
use crate::{baseline, figure};

/// Requests in turn, direct and through the gateway.
const PAIRS: usize = 20_000;
/// Streams in turn.
const STREAMS: usize = 4_000;
/// Before anything counts.
const WARM: usize = 500;
const CONNECTIONS: usize = 64;
/// Each proxy is loaded so often, in turn, and for so long.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(6);

/// A cockpit whose gateway has one provider, an upstream that is quick.
pub(crate) struct Stage {
    pub(crate) cockpit: Cockpit,
    upstream: Upstream,
    pub(crate) gateway: u16,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let upstream = Upstream::start();
        let gateway = free_port();
        let mut cockpit = Cockpit::new("");
        cockpit.write_config(&format!(
            r#"
[gateway]
listen = "127.0.0.1:{gateway}"

[providers.openai]
kind = "openai"
api_key = {{ env = "VENDOR_KEY" }}
base_url = "http://127.0.0.1:{}/v1"
"#,
            upstream.port
        ));
        cockpit
            .env
            .push(("VENDOR_KEY".to_owned(), "sk-of-the-vendor".to_owned()));
        let mut stage = Self {
            cockpit,
            upstream,
            gateway,
        };
        stage.serve().await;
        stage
    }

    /// Starts the engine, and waits until its gateway is open.
    pub(crate) async fn serve(&mut self) {
        self.cockpit.serve().await;
        // The gateway opens after the door.
        while std::net::TcpStream::connect(("127.0.0.1", self.gateway)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn engine(&self) -> u32 {
        self.cockpit.engine.as_ref().unwrap().id().unwrap()
    }
}

pub(crate) async fn run() {
    let stage = Stage::start().await;
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path(), stage.upstream.port);
    if nginx.is_none() {
        println!("  NOT MEASURED beside nginx: it is missing (scripts/setup run bench)");
    }
    let ports = Ports {
        direct: stage.upstream.port,
        nginx: nginx.as_ref().map(|nginx| nginx.port),
        gateway: stage.gateway,
    };
    tokio::task::spawn_blocking(move || latency(ports))
        .await
        .unwrap();
    #[cfg(target_os = "linux")]
    {
        let mut all = vec![stage.engine(), stage.upstream.child.id()];
        all.extend(nginx.iter().flat_map(|nginx| tree(nginx.child.id())));
        tokio::task::spawn_blocking(move || on_one_processor(ports, &all))
            .await
            .unwrap();
    }
    if let Some(nginx) = nginx {
        throughput(&stage, &nginx, dir.path()).await;
    }
}

/// Who listens where.
#[derive(Clone, Copy)]
struct Ports {
    direct: u16,
    nginx: Option<u16>,
    gateway: u16,
}

fn us(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

/// How much later each is than the one before it that went direct; negative where it was quicker.
fn added(direct: &[Duration], through: &[Duration], q: f64) -> String {
    let mut added: Vec<f64> = direct
        .iter()
        .zip(through)
        .map(|(direct, through)| through.as_secs_f64() - direct.as_secs_f64())
        .collect();
    added.sort_by(f64::total_cmp);
    let place = ((added.len() - 1) as f64 * q).round() as usize;
    format!("{:.0} µs", added[place] * 1e6)
}

/// How long requests in turn took: directly, through nginx, and through the gateway.
struct Turns {
    direct: Vec<Duration>,
    nginx: Vec<Duration>,
    gateway: Vec<Duration>,
}

fn turns(ports: Ports, stream: bool, rounds: usize) -> Turns {
    // Nobody is asked for the model's name directly; the gateway knows whose it is by its prefix.
    let plain = request(ports.direct, "gpt-4o", stream);
    let routed = request(ports.gateway, "openai/gpt-4o", stream);
    let mut straight = Connection::open(ports.direct);
    let mut beside = ports.nginx.map(Connection::open);
    let mut through = Connection::open(ports.gateway);
    let mut turns = Turns {
        direct: Vec::new(),
        nginx: Vec::new(),
        gateway: Vec::new(),
    };
    for round in 0..WARM + rounds {
        let first = straight.ask(&plain, stream);
        let second = through.ask(&routed, stream);
        let third = beside.as_mut().map(|nginx| nginx.ask(&plain, stream));
        if round >= WARM {
            turns.direct.push(first);
            turns.gateway.push(second);
            turns.nginx.extend(third);
        }
    }
    turns
}

fn latency(ports: Ports) {
    for (what, stream, rounds) in [
        ("whole answer", false, PAIRS),
        ("first token of a stream", true, STREAMS),
    ] {
        let mut turns = turns(ports, stream, rounds);
        let direct = turns.direct.clone();
        let (half, most) = (
            added(&direct, &turns.gateway, 0.5),
            added(&direct, &turns.gateway, 0.99),
        );
        for (name, q) in [("median", 0.5), ("p99", 0.99)] {
            let told = us(quantile(&mut turns.direct, q));
            baseline(&format!("{what}: direct, {name}"), told);
            if !turns.nginx.is_empty() && !stream {
                let told = added(&direct, &turns.nginx, q);
                baseline(&format!("{what}: added by nginx, {name}"), told);
            }
            let told = us(quantile(&mut turns.gateway, q));
            baseline(&format!("{what}: through the gateway, {name}"), told);
        }
        figure(
            &format!("{what}: added, median"),
            half,
            if stream { "≤ 1 ms" } else { "≤ 150 µs" },
        );
        figure(&format!("{what}: added, p99"), most, "≤ 1 ms");
    }
}

/// The same of whole answers, with all of these processes and us on one processor. That does not go to sleep between
/// two steps: waking one that does is most of what is measured where there are several.
#[cfg(target_os = "linux")]
fn on_one_processor(ports: Ports, all: &[u32]) {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let before = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set(
        (0..CpuSet::MAX_CPU)
            .find(|cpu| before.is_set(*cpu))
            .unwrap(),
    );
    stay_on(all, &one);
    let turns = turns(ports, false, PAIRS / 4);
    stay_on(all, &before);
    let what = "all on one processor: whole answer";
    if !turns.nginx.is_empty() {
        let told = added(&turns.direct, &turns.nginx, 0.5);
        baseline(&format!("{what}: added by nginx, median"), told);
    }
    let told = added(&turns.direct, &turns.gateway, 0.5);
    figure(&format!("{what}: added, median"), told, "≤ 150 µs");
}

/// Puts these processes and this thread on these processors.
#[cfg(target_os = "linux")]
fn stay_on(pids: &[u32], processors: &rustix::thread::CpuSet) {
    use rustix::thread::{Pid, sched_setaffinity};
    let threads = pids
        .iter()
        .filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).ok())
        .flat_map(Iterator::flatten)
        .filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    for thread in threads {
        // One that has ended meanwhile needs no place.
        let _ = sched_setaffinity(Pid::from_raw(thread), processors);
    }
    sched_setaffinity(None, processors).unwrap();
}

/// A load by wrk: how many requests were answered, and how many a second.
fn load(dir: &Path, port: u16, model: &str, time: Duration) -> (u64, f64) {
    let script = dir.join("post.lua");
    std::fs::write(
        &script,
        format!(
            "wrk.method = 'POST'\nwrk.path = '/v1/chat/completions'\nwrk.body = '{}'\n\
             wrk.headers['content-type'] = 'application/json'\nwrk.headers['authorization'] = 'Bearer sk-callers-own'\n",
            crate::wire::body(model, false)
        ),
    )
    .unwrap();
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}")])
        .arg(format!("-d{}s", time.as_secs()))
        .arg("-s")
        .arg(&script)
        .arg(format!("http://127.0.0.1:{port}"))
        .output()
        .expect("wrk is installed (scripts/setup run bench)");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && !text.contains("Non-2xx"),
        "wrk: {text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let number = |line: &str, word: usize| line.split_whitespace().nth(word).map(str::to_owned);
    let answered = text
        .lines()
        .find(|line| line.contains("requests in"))
        .and_then(|line| number(line, 0));
    let rate = text
        .lines()
        .find(|line| line.starts_with("Requests/sec"))
        .and_then(|line| number(line, 1));
    (
        answered.unwrap().parse().unwrap(),
        rate.unwrap().parse().unwrap(),
    )
}

/// nginx as a plain proxy with kept-alive connections to the same upstream.
struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    fn start(dir: &Path, upstream: u16) -> Option<Self> {
        let port = free_port();
        let dir = dir.display();
        let user = if rustix::process::getuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|of| format!("{of}_temp_path {dir}/{of};\n"))
            .collect();
        let path = format!("{dir}/nginx.conf");
        let text = format!(
            "{user} daemon off; worker_processes auto; pid {dir}/nginx.pid; error_log {dir}/nginx.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; {temporary} keepalive_requests 100000000;\n\
               upstream double {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}\n\
               server {{ listen 127.0.0.1:{port};\n\
                 location / {{ proxy_pass http://double; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n"
        );
        std::fs::write(&path, text).unwrap();
        let child = ["nginx", "/usr/sbin/nginx"].into_iter().find_map(|nginx| {
            Command::new(nginx)
                .args(["-c", &path])
                .stderr(Stdio::null())
                .spawn()
                .ok()
        })?;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(Self { child, port })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with their master only when it is told.
        crate::support::signal(self.child.id(), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The processor time of a process and all that descend from it.
fn cpu_of_tree(root: u32) -> Duration {
    tree(root).into_iter().map(cpu).sum()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn throughput(stage: &Stage, nginx: &Nginx, dir: &Path) {
    let (direct, gateway, proxy) = (stage.upstream.port, stage.gateway, nginx.port);
    let (engine, master) = (stage.engine(), nginx.child.id());
    let at = dir.to_owned();
    let measured = tokio::task::spawn_blocking(move || {
        let mut all: [Vec<(f64, f64)>; 3] = Default::default();
        load(&at, gateway, "openai/gpt-4o", Duration::from_secs(2));
        load(&at, proxy, "gpt-4o", Duration::from_secs(1));
        for _ in 0..ROUNDS {
            let of = [
                (direct, None, "gpt-4o"),
                (proxy, Some(master), "gpt-4o"),
                (gateway, Some(engine), "openai/gpt-4o"),
            ];
            for ((port, whose, model), rounds) in of.into_iter().zip(&mut all) {
                let before = whose.map(cpu_of_tree).unwrap_or_default();
                let (answered, rate) = load(&at, port, model, ROUND);
                let used = whose.map(cpu_of_tree).unwrap_or_default() - before;
                rounds.push((rate, used.as_secs_f64() * 1e6 / answered as f64));
            }
        }
        all.map(|rounds| {
            let (rates, costs) = rounds.into_iter().unzip();
            (middle(rates), middle(costs))
        })
    })
    .await
    .unwrap();
    let [(direct, _), (nginx_rate, nginx_cost), (rate, cost)] = measured;
    let at = format!("{CONNECTIONS} connections");
    baseline(&format!("{at}: direct"), format!("{direct:.0}/s"));
    baseline(
        &format!("{at}: nginx proxy_pass"),
        format!("{nginx_rate:.0}/s, {nginx_cost:.1} µs CPU"),
    );
    figure(
        &format!("{at}: the gateway"),
        format!("{rate:.0}/s"),
        "half of nginx",
    );
    figure(
        &format!("{at}: of nginx"),
        format!("{:.0} %", rate / nginx_rate * 100.0),
        "≥ 50 %",
    );
    figure(
        "CPU a request, the whole engine",
        format!("{cost:.1} µs"),
        "≤ 50 µs",
    );
    let dropped = stage.cockpit.log().matches("not kept").count();
    figure(
        "calls that the ledger could not take (warnings)",
        dropped,
        "0",
    );
}

/// Memory over a million requests. The first hundred thousand fill what is filled once: the ledger's pages, buffers,
/// the allocator's own.
pub(crate) async fn million() {
    const LOOKS: [u64; 4] = [100_000, 400_000, 700_000, 1_000_000];
    let stage = Stage::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (gateway, engine) = (stage.gateway, stage.engine());
    let at = dir.path().to_owned();
    let began = Instant::now();
    let (resident, answered) = tokio::task::spawn_blocking(move || {
        let mut answered = 0;
        let resident = LOOKS.map(|most| {
            while answered < most {
                answered += load(&at, gateway, "openai/gpt-4o", Duration::from_secs(3)).0;
            }
            format!("{:.1}", memory(engine, "Rss") as f64 / 1024.0)
        });
        (resident, answered)
    })
    .await
    .unwrap();
    figure(
        &format!(
            "resident after 100, 400, 700 thousand and {answered} requests ({:.0} s)",
            began.elapsed().as_secs_f64()
        ),
        format!("{} MiB", resident.join(" → ")),
        "flat",
    );
    let usage: serde_json::Value = stage
        .cockpit
        .client()
        .get("/api/usage?window=1h")
        .await
        .unwrap();
    figure(
        "of them accounted for",
        usage["totals"]["calls"].as_u64().unwrap_or(0),
        "all",
    );
}

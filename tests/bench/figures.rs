//! The figures of the supervision and the gateway, each beside its baseline in the same run.
//!
//! `cargo bench --bench figures [-- NAME…]` with any of `start respawn idle many writer chaos app gateway`, and of
//! those that are measured only when they are named: `million` and `kills`, which take minutes.
//! Nothing here asserts: it prints what was measured next to what is wanted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench"
)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod app;
mod chaos;
mod gateway;
mod idle;
mod kills;
mod proc;
mod respawn;
#[cfg(target_os = "linux")]
mod screen;
mod upstream;
mod wire;
mod writer;

use std::fmt::Display;

/// Prints one figure.
pub(crate) fn figure(name: &str, measured: impl Display, wanted: &str) {
    println!("  {name:<58} {measured:>26}   wanted {wanted}");
}

pub(crate) fn baseline(name: &str, measured: impl Display) {
    println!("  {name:<58} {measured:>26}   baseline");
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match args.first().map(String::as_str) {
        Some("child-stamp") => return respawn::child(&args[1]),
        Some("child-writer") => return writer::child(&args[1]),
        Some("child-upstream") => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            return runtime.block_on(upstream::child(&args[1]));
        }
        _ => {}
    }
    let named = |name: &str| args.iter().any(|a| a == name);
    let wanted = |name: &str| args.is_empty() || named(name);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if wanted("start") {
        println!("start");
        runtime.block_on(idle::cold_start());
    }
    if wanted("respawn") {
        println!("respawn: SIGKILL of a service to its successor's main()");
        runtime.block_on(respawn::run());
    }
    if wanted("idle") {
        println!(
            "idle: headless, three services probed every 5 s, the machine sampled every second"
        );
        runtime.block_on(idle::three());
    }
    if wanted("many") {
        println!("many: 100 services");
        runtime.block_on(idle::hundred());
    }
    if wanted("writer") {
        println!("writer: a service that writes 50 MB/s for 10 s");
        runtime.block_on(writer::run());
    }
    if wanted("chaos") {
        println!("chaos");
        runtime.block_on(chaos::run());
    }
    if wanted("gateway") {
        println!("gateway: one provider; metering, ledger and rules on");
        runtime.block_on(gateway::run());
    }
    if named("million") {
        println!("million: requests through the gateway, 64 at once");
        runtime.block_on(gateway::million());
    }
    if named("kills") {
        println!("kills: of the engine, in the middle of load");
        runtime.block_on(kills::run());
    }
    if wanted("app") {
        println!("app: three services as above, the Overview open");
        #[cfg(target_os = "linux")]
        runtime.block_on(app::run());
        #[cfg(not(target_os = "linux"))]
        println!("  NOT MEASURED: it needs Linux: Xvfb, /proc");
    }
}

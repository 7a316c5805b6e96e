//! The command line and the engine.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use studio_cockpit::cli::{self, Args};
use tokio::runtime::Builder;

/// The system's allocator costs the gateway a tenth of its time. The shim, of which there is one for
/// every service, keeps it: it hardly allocates, and must stay small.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    cockpit_panics::install();
    let args = Args::parse();
    let mut builder = if args.runs_engine() {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2);
        builder
    } else {
        Builder::new_current_thread()
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let code = runtime.block_on(cli::run(args));
    // What still waits (a read of the terminal, a stuck file system) must not hold up the exit.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}

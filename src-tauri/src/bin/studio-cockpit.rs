//! The command line and the engine.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use studio_cockpit::cli::{self, Args};
use tokio::runtime::Builder;

fn main() -> anyhow::Result<ExitCode> {
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

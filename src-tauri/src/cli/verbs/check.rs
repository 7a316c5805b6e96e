//! `check`: does the configuration hold, and what would it do.

use std::io::{self, Write};
use std::path::PathBuf;

use cockpit_config::Plan;

use crate::cli::args::Reading;
use crate::cli::failure::{Done, Failure};

pub(in crate::cli) fn check(reading: &Reading) -> Done {
    let file = reading.common.config_file()?;
    let config = cockpit_config::load(&file, &home()).map_err(Failure::Config)?;
    let mut out = io::stdout().lock();
    if reading.json {
        serde_json::to_writer(&mut out, &Plan::of(&config)).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", cockpit_config::plan(&config))?;
    }
    Ok(())
}

/// What `~` stands for. Without a home it stands for the root, where nothing of a person's lies, so
/// that a path with `~` is reported as missing.
pub(in crate::cli) fn home() -> PathBuf {
    cockpit_platform::paths::home().unwrap_or_else(|| PathBuf::from("/"))
}

//! The bundled demo stack: an ordinary `cockpit.toml` in a data folder of its own, on free ports,
//! whose services are doubles under real shims.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use cockpit_model::{Code, Problem};
use cockpit_simulator::{DEMO_PORTS, demo_toml};

use super::{folder, sibling};
use crate::cli::folder::DataFolder;

/// Makes the demo's configuration, or keeps the one that is there: its services may be running on
/// the ports it names, and a person may have changed it.
///
/// # Errors
/// [`Code::Storage`] when it cannot be written.
pub(super) fn prepare(data: &DataFolder) -> Result<PathBuf, Problem> {
    let path = data.config();
    let exe = sibling("studio-cockpit")?;
    let fits = std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&quoted(&exe)));
    if fits {
        return Ok(path);
    }
    let failed = |error: std::io::Error| {
        Problem::new(Code::Storage, "the demo's configuration cannot be written")
            .detail(format!("{}: {error}", path.display()))
    };
    data.make()?;
    let ports = free_ports(DEMO_PORTS).map_err(failed)?;
    folder::replace(&path, &demo_toml(&exe, &ports)).map_err(failed)?;
    Ok(path)
}

/// As the configuration writes the program: a JSON string is a TOML basic string.
fn quoted(exe: &Path) -> String {
    serde_json::Value::String(exe.to_string_lossy().into_owned()).to_string()
}

/// Ports that are free now. All are held until all are found, so that none comes twice.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()?;
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

//! The bundled demo stack: an ordinary `cockpit.toml` in a data folder of its own, on free ports,
//! whose services are doubles under real shims.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use cockpit_model::{Code, Problem};
use cockpit_simulator::{DEMO_PORTS, Demo, demo_toml, is_demo_toml};

use super::{folder, sibling};
use crate::cli::folder::DataFolder;

/// What the demo's applications show the gateway.
const KEY: &str = "demo-key";
/// What the gateway shows the vendors' doubles.
const VENDOR_KEY: &str = "demo-vendor-key";

/// Makes the demo's configuration, or keeps the one that is there: its services may be running on
/// the ports it names, and a person may have changed it.
///
/// # Errors
/// [`Code::Storage`] when it cannot be written.
pub(super) fn prepare(data: &DataFolder) -> Result<PathBuf, Problem> {
    let path = data.config();
    let exe = sibling("studio-cockpit")?;
    let (key_file, vendor_key_file) = (path.with_file_name(KEY), path.with_file_name(VENDOR_KEY));
    let fits = std::fs::read_to_string(&path).is_ok_and(|text| {
        // One of before there were requests to models is made anew.
        text.contains(&quoted(&exe)) && (text.contains(&quoted(&key_file)) || !is_demo_toml(&text))
    });
    let failed = |error: std::io::Error| {
        Problem::new(Code::Storage, "the demo's configuration cannot be written")
            .detail(format!("{}: {error}", path.display()))
    };
    data.make()?;
    for file in [&key_file, &vendor_key_file] {
        if !file.is_file() {
            folder::replace(file, folder::secret().as_bytes()).map_err(failed)?;
        }
    }
    if fits {
        return Ok(path);
    }
    let demo = Demo {
        exe: &exe,
        token_file: &data.token(),
        key_file: &key_file,
        vendor_key_file: &vendor_key_file,
    };
    let ports = free_ports(DEMO_PORTS).map_err(failed)?;
    folder::replace(&path, demo_toml(demo, &ports).as_bytes()).map_err(failed)?;
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

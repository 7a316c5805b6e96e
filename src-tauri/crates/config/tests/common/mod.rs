//! A disk made of rules, so that cases need no files.

use std::path::Path;

use cockpit_config::{Config, Files, Origin, parse};
use cockpit_model::verdict::ConfigError;

/// Everything is there, but for names that say otherwise.
pub(crate) struct Rules;

impl Files for Rules {
    fn exists(&self, path: &Path) -> bool {
        !path.to_string_lossy().contains("missing")
    }

    fn folder(&self, path: &Path) -> Result<(), String> {
        let path = path.to_string_lossy();
        if path.contains("missing") {
            Err("does not exist".to_owned())
        } else if path.ends_with(".txt") {
            Err("is not a folder".to_owned())
        } else {
            Ok(())
        }
    }

    fn dotenv(&self, path: &Path) -> Result<(), String> {
        let path = path.to_string_lossy();
        if path.contains("missing") {
            Err("does not exist".to_owned())
        } else if path.contains("broken") {
            Err("is not a list of NAME=value in line 2".to_owned())
        } else {
            Ok(())
        }
    }
}

/// Reads a text as `/data/cockpit.toml` of the person whose home is `/home/ada`.
pub(crate) fn read(text: &str) -> Result<Config, Vec<ConfigError>> {
    let origin = Origin {
        file: Path::new("/data/cockpit.toml"),
        home: Path::new("/home/ada"),
        files: &Rules,
    };
    parse(text, &origin)
}

//! `init`: what runs on this machine, as a `cockpit.toml`.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use cockpit_api::{Found, Plan};
use cockpit_config::{Disk, Origin};
use cockpit_model::{Code, Problem};
use cockpit_presets::Surroundings;
use futures_util::FutureExt;

use super::check::home;
use crate::cli::args::Reading;
use crate::cli::failure::{Done, Failure};
use crate::cli::style::{self, Style, Tone};

pub(in crate::cli) async fn init(reading: &Reading, write: bool) -> Done {
    let file = reading.common.config_file()?;
    let plan = detect(&file).await;
    // What we propose must hold by our own rules, before a person sees it and before it is written.
    let home = home();
    let origin = Origin {
        file: &file,
        home: &home,
        files: &Disk,
    };
    cockpit_config::parse(&plan.toml, &origin).map_err(Failure::Config)?;
    if write {
        write_new(&file, &plan.toml)?;
    }
    let mut out = io::stdout().lock();
    if reading.json {
        serde_json::to_writer(&mut out, &plan).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    tell_found(&plan.found)?;
    if write {
        writeln!(out, "Wrote {}", file.display())?;
        writeln!(io::stderr(), "{}", next(&reading.common.given()))?;
    } else {
        write!(out, "{}", plan.toml)?;
        writeln!(
            io::stderr(),
            "\nNothing was written. `studio-cockpit init --write{}` makes it {}",
            reading.common.given(),
            file.display()
        )?;
    }
    Ok(())
}

/// What to do with a configuration that was written, with the options that were `given` for it.
fn next(given: &str) -> String {
    // The window has no options of its own.
    let then = if given.is_empty() { "" } else { " serve" };
    format!("Next: studio-cockpit check{given}, then studio-cockpit{then}{given}")
}

/// What was found on this machine, and the configuration that would be written to `file`.
pub(crate) async fn detect(file: &Path) -> Plan {
    let around = Surroundings::new(
        || cockpit_platform::environment::login_environment().boxed(),
        |port| cockpit_platform::ports::holder(port).boxed(),
        cockpit_platform::paths::home(),
    );
    let detected = cockpit_presets::detect::detect(&around).await;
    Plan {
        toml: cockpit_presets::detect::plan_toml(&detected),
        path: file.display().to_string(),
        found: detected
            .into_iter()
            .map(|one| Found {
                name: one.name,
                kind: one.kind.as_str().to_owned(),
                evidence: one.evidence,
                doubt: one.doubt,
            })
            .collect(),
    }
}

fn tell_found(found: &[Found]) -> io::Result<()> {
    let style = Style::of(&io::stderr());
    let mut err = io::stderr().lock();
    if found.is_empty() {
        return writeln!(err, "Nothing was found that the cockpit knows.");
    }
    let rows: Vec<_> = found
        .iter()
        .map(|one| {
            let (mark, tone) = match one.doubt {
                None => ("✓", Tone::Good),
                Some(_) => ("–", Tone::Busy),
            };
            vec![
                (mark.to_owned(), tone),
                (one.name.clone(), Tone::Plain),
                (one.kind.clone(), Tone::Plain),
                (style::printable(&one.evidence, Style::PLAIN), Tone::Faint),
            ]
        })
        .collect();
    style::table(&mut err, style, &rows)?;
    for one in found {
        if let Some(doubt) = &one.doubt {
            let doubt = style::printable(doubt, Style::PLAIN);
            writeln!(
                err,
                "{} is commented out in the file, for you to decide: {doubt}",
                one.name
            )?;
        }
    }
    writeln!(err)
}

/// Writes a file that is not there yet, readable by its owner only.
fn write_new(file: &Path, text: &str) -> Result<(), Problem> {
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Problem::new(Code::Storage, "there is a configuration already")
                .detail(file.display().to_string())
                .remedy("edit it, or name another file with --config; nothing was overwritten")
        } else {
            Problem::new(Code::Storage, "the configuration cannot be written")
                .detail(format!("{}: {error}", file.display()))
                .remedy("make the folder writable, or name another file with --config")
        }
    };
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(failed)?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_comes_next_is_asked_with_the_same_options() {
        assert_eq!(next(""), "Next: studio-cockpit check, then studio-cockpit");
        assert_eq!(
            next(" --data-dir '/my data'"),
            "Next: studio-cockpit check --data-dir '/my data', then studio-cockpit serve --data-dir '/my data'"
        );
    }

    #[test]
    fn a_configuration_is_never_overwritten() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("new/cockpit.toml");
        write_new(&file, "a").unwrap();
        let problem = write_new(&file, "b").unwrap_err();
        assert_eq!(problem.title, "there is a configuration already");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

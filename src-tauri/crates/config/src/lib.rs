//! cockpit.toml: parse, validate, complete with each kind's defaults, diff for reload.
//!
//! One reading reports every mistake, each with line, column, the offending text and what to write
//! instead. The text becomes a tree of values that know their places ([`toml::de::DeTable`]); the
//! readers in `fields` take typed values out of it and put what does not fit into the `Report`,
//! going on with the default. Only then are the services judged together (dependencies, addresses).
//! A [`Config`] exists only if there was no mistake at all, so whoever holds one needs no further
//! checks: names are safe as path parts, paths are absolute, dependencies exist and have an order.
//!
//! **Invariants.** A secret that stands in the file is refused and never quoted. Nothing but
//! [`load`] and [`Disk`] touches the disk: [`parse`] is pure in its [`Origin`].

mod address;
mod check;
mod cockpit;
mod command;
mod diff;
mod environment;
mod fields;
mod files;
mod kinds;
mod later;
mod names;
mod order;
mod plan;
mod prices;
mod probe;
mod report;
mod secret_place;
mod secrets;
mod service;
mod suggest;
mod traffic;
mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cockpit_model::ServiceSpec;
use cockpit_model::traffic::TrafficSpec;
use cockpit_model::verdict::ConfigError;
use serde::Serialize;
use toml::de::DeTable;

pub use diff::{Change, Changes, diff};
pub use files::{Disk, Files, Unchecked};
pub use names::check as check_name;
pub use order::start_order;
pub use plan::{Plan, PlannedService, plan};
pub use prices::PricesConfig;
pub use units::{format_duration, format_size, parse_duration, parse_size};

use fields::{At, Fields};
use report::{Finding, Report};

/// Longest file that is read, in bytes.
const LONGEST_FILE: u64 = 4 << 20;

/// Every section of the file.
const SECTIONS: &[&str] = &[
    "cockpit",
    "gateway",
    "otlp",
    "services",
    "providers",
    "keys",
    "routes",
    "limits",
    "budgets",
    "prices",
    "alerts",
    "incidents",
];

/// A configuration without mistakes.
#[derive(Clone, PartialEq, Serialize)]
pub struct Config {
    /// The cockpit's own settings.
    pub cockpit: CockpitConfig,
    /// The services in the order of the file, complete.
    pub services: Vec<ServiceSpec>,
    /// The gateway; absent without `[gateway]` and `[providers]`.
    pub traffic: Option<TrafficSpec>,
    /// Where OTLP is taken; absent without `[otlp]`.
    pub otlp: Option<SocketAddr>,
    /// Where prices are fetched; absent without `[prices]`: then those that came with the program hold.
    pub prices: Option<PricesConfig>,
    /// What is accepted but does nothing yet, or looks like a slip.
    pub warnings: Vec<ConfigError>,
}

impl fmt::Debug for Config {
    /// Names only: a service's environment may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|s| s.name.as_str()).collect();
        f.debug_struct("Config")
            .field("cockpit", &self.cockpit)
            .field("services", &names)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// `[cockpit]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CockpitConfig {
    /// Where the API and the UI listen; port 0: any free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be anything but loopback.
    pub allow_remote: bool,
    /// Host names accepted besides loopback's, without a port.
    pub allowed_hosts: Vec<String>,
    /// Keep the machine from sleeping while services run.
    pub keep_awake: bool,
    /// Ask the login shell for the environment once, for programs started from the dock.
    pub login_shell_env: bool,
    /// Least severity that is logged, unless the command line says otherwise.
    pub log_level: LogLevel,
}

/// How much the engine logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what may become a failure.
    Warn,
    /// And what happened.
    Info,
    /// And why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where a text comes from, and what its paths mean.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The file as it is called in messages; relative paths start at its folder.
    pub file: &'a Path,
    /// What `~` stands for.
    pub home: &'a Path,
    /// Answers questions about the disk.
    pub files: &'a dyn Files,
}

/// Reads and judges a file.
///
/// # Errors
/// Every mistake in it, in the order of the file; one at 1:1 if it cannot be read.
pub fn load(path: &Path, home: &Path) -> Result<Config, Vec<ConfigError>> {
    let text = files::read(path, LONGEST_FILE).map_err(|(line, column, message, suggestion)| {
        vec![ConfigError {
            file: path.display().to_string(),
            line,
            column,
            message,
            text: None,
            suggestion,
        }]
    })?;
    let origin = Origin {
        file: path,
        home,
        files: &Disk,
    };
    parse(&text, &origin)
}

/// Judges a text; pure but for what `origin.files` answers.
///
/// # Errors
/// Every mistake in it, in the order of the file; only the first if it is not TOML.
pub fn parse(text: &str, origin: &Origin<'_>) -> Result<Config, Vec<ConfigError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let report = Report::new(text, origin.file.display().to_string());
    let config = read(text, origin, &report);
    let failed = report.has_errors();
    let (errors, warnings) = report.finish();
    match config {
        Some(mut config) if !failed => {
            config.warnings = warnings;
            Ok(config)
        }
        _ => Err(errors),
    }
}

fn read(text: &str, origin: &Origin<'_>, report: &Report<'_>) -> Option<Config> {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            report.error(
                &span,
                Finding::new(format!(
                    "this is not TOML: {}",
                    error.message().replace('\n', ", ")
                ))
                .text(report.source_line(span.start))
                .suggest(syntax_hint(error.message())),
            );
            return None;
        }
    };
    if document.get_ref().is_empty() {
        report.error(
            &(0..0),
            Finding::new("the file holds no settings").suggest(
                "let `studio-cockpit init --write` begin one from what runs on this machine",
            ),
        );
        return None;
    }
    let root = Fields::known(report, document.get_ref(), 0..0, String::new(), SECTIONS);
    let paths = files::Paths::new(origin);
    let cockpit = cockpit::read(&root);
    let services = service::read_all(&root, &paths);
    let allow_remote = cockpit.value.allow_remote;
    let otlp = traffic::otlp(&root, allow_remote);
    let specs: Vec<ServiceSpec> = services.iter().map(|s| s.spec.clone()).collect();
    let traffic = traffic::read(&root, &paths, allow_remote, &specs);
    let prices = prices::read(&root);
    later::read(&root, &paths);
    let doors = check::Doors {
        cockpit: &cockpit,
        gateway: traffic.as_ref().map(|t| At {
            value: t.value.listen,
            span: t.span.clone(),
        }),
        otlp: otlp.clone(),
    };
    check::together(report, &doors, &services);
    Some(Config {
        cockpit: cockpit.value,
        services: specs,
        traffic: traffic.map(|t| t.value),
        otlp: otlp.map(|o| o.value),
        prices,
        warnings: Vec::new(),
    })
}

/// What usually leads to a syntax error.
fn syntax_hint(message: &str) -> String {
    let message = message.to_lowercase();
    if message.contains("duplicate") {
        "keep one of the two".to_owned()
    } else if message.contains("string") || message.contains("quote") {
        "texts stand in double quotes: cwd = \"~/code/app\"".to_owned()
    } else if message.contains("inline table") || message.contains("array") {
        "a list is [\"a\", \"b\"], a table on one line { key = \"value\" }".to_owned()
    } else {
        "a setting is key = value, with texts in double quotes, under its [section]".to_owned()
    }
}

/// The absolute form of a path, without asking the disk whether it exists.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

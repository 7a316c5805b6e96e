//! What the command line understands.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use cockpit_config::LogLevel;
use cockpit_model::Problem;

use super::client::Client;
use super::folder::DataFolder;

/// Runs an AI deployment on one machine: keeps its services up, watches them, and says whether all
/// is well. Without a verb: opens the app.
#[derive(Debug, Parser)]
#[command(
    name = "studio-cockpit",
    version,
    subcommand_help_heading = "Verbs",
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 it failed (with what to do), 2 wrong usage or configuration, \
                  3 no cockpit is running."
)]
pub struct Args {
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

/// Common to every verb.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Common {
    /// The configuration [default: cockpit.toml in the data folder]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The data folder [default: the person's own]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// How much is logged
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<Level>,
}

impl Common {
    /// The options that say which cockpit is meant, as they were given, for a command that a person is to type: each
    /// with a blank before it.
    pub(super) fn given(&self) -> String {
        let word = |path: &PathBuf| {
            let text = path.display().to_string();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+~".contains(c);
            match !text.is_empty() && text.chars().all(plain) {
                true => text,
                false => format!("'{}'", text.replace('\'', "'\\''")),
            }
        };
        let option = |name: &str, path: &Option<PathBuf>| {
            let path = path.as_ref().map(word);
            path.map_or_else(String::new, |path| format!(" --{name} {path}"))
        };
        option("config", &self.config) + &option("data-dir", &self.data_dir)
    }
}

/// Common to every verb that answers something.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Reading {
    #[command(flatten)]
    pub(super) common: Common,
    /// Answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The words of `--log-level`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A length of time that the API takes, as it is written.
fn window(text: &str) -> Result<String, String> {
    match cockpit_api::parse_duration(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a length of time: 30s, 5m, 1h or 7d".to_owned()),
    }
}

/// What `usage` groups by.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum By {
    Model,
    Provider,
    Route,
    User,
    Agent,
    Key,
    Error,
}

impl By {
    /// The word in a query, and the head of its column.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
            Self::User => "user",
            Self::Agent => "agent",
            Self::Key => "key",
            Self::Error => "error",
        }
    }
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the engine: supervise the services, serve the UI to a browser
    Serve {
        #[command(flatten)]
        common: Common,
        /// End the services too when the engine ends (else they go on, and the next start finds them)
        #[arg(long)]
        stop_services: bool,
        /// Serve although the configuration does not hold, and start the services once it is mended;
        /// for an engine nobody watches a terminal of
        #[arg(long, hide = true)]
        await_config: bool,
    },
    /// Run the engine with the bundled sample stack and traffic
    Demo {
        #[command(flatten)]
        common: Common,
        /// Open no window, also where there is a display
        #[arg(long)]
        no_window: bool,
    },
    /// Detect what runs here and print a cockpit.toml for it
    Init {
        #[command(flatten)]
        reading: Reading,
        /// Write it, unless there is one already
        #[arg(long)]
        write: bool,
    },
    /// Validate the configuration and print the plan
    Check {
        #[command(flatten)]
        reading: Reading,
    },
    /// Say in one sentence whether all is well
    Status {
        #[command(flatten)]
        reading: Reading,
    },
    /// List the services
    Services {
        #[command(flatten)]
        reading: Reading,
    },
    /// Say what requests to models used, cost and how long they took
    Usage {
        #[command(flatten)]
        reading: Reading,
        /// Over what time, until now: 30s, 5m, 1h, 7d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = window)]
        window: String,
        /// By what to group
        #[arg(long, value_name = "WHAT")]
        by: Option<By>,
    },
    /// Make, list and remove keys of the gateway
    Key {
        #[command(subcommand)]
        what: KeyVerb,
    },
    /// Print what a service wrote
    Logs {
        #[command(flatten)]
        reading: Reading,
        /// The service
        name: String,
        /// Go on with every line as it is written
        #[arg(short, long)]
        follow: bool,
        /// Only lines that hold this text, letters of either case alike
        #[arg(long, value_name = "TEXT")]
        grep: Option<String>,
        /// How many of the last lines
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        tail: u32,
        /// Only of this instance
        #[arg(long, value_name = "N")]
        instance: Option<u16>,
    },
    /// Start a service and wait until it is ready
    Start {
        #[command(flatten)]
        reading: Reading,
        /// The service
        name: String,
    },
    /// Stop a service and wait until all its processes are gone
    Stop {
        #[command(flatten)]
        reading: Reading,
        /// The service
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Every service
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Restart a service and wait until it is ready
    Restart {
        #[command(flatten)]
        reading: Reading,
        /// The service
        name: String,
    },
    /// Start the engine at login, or no longer; without a word, say which
    Login {
        #[command(flatten)]
        reading: Reading,
        /// Whether it is started at login
        switch: Option<Switch>,
    },
    /// Open the UI in the browser, signed in
    Open {
        #[command(flatten)]
        common: Common,
        /// Print the address instead of opening it; it signs in one browser, once, within five minutes
        #[arg(long)]
        print_url: bool,
    },
    /// Be a protocol double of a service: the demo's stack
    #[command(hide = true)]
    Simulate(cockpit_simulator::Args),
    /// Stop everything and remove what was installed
    Uninstall {
        #[command(flatten)]
        common: Common,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Keep the data folder: configuration, logs, history
        #[arg(long, conflicts_with = "delete_data")]
        keep_data: bool,
        /// Delete the data folder
        #[arg(long)]
        delete_data: bool,
    },
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// Make a key and print it, once; only its hash is kept
    Add {
        #[command(flatten)]
        reading: Reading,
        /// Its name, as requests are attributed
        name: String,
        #[command(flatten)]
        limits: KeyLimits,
    },
    /// List the keys, what they may use and when they were last used
    List {
        #[command(flatten)]
        reading: Reading,
    },
    /// Remove a key: it opens nothing any more
    Remove {
        #[command(flatten)]
        reading: Reading,
        /// Its name
        name: String,
    },
}

/// What a key may use; as much as it likes of what is not limited.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct KeyLimits {
    /// Requests in a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) requests_per_minute: Option<u32>,
    /// Tokens in a minute, input and output together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) tokens_per_minute: Option<u32>,
    /// Dollars in a calendar day
    #[arg(long, value_name = "USD")]
    pub(super) usd_per_day: Option<f64>,
    /// Dollars in a calendar month
    #[arg(long, value_name = "USD")]
    pub(super) usd_per_month: Option<f64>,
    /// The routes, models and provider/models it may ask for
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(super) models: Vec<String>,
    /// The most output it may ask for, in tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_tokens: Option<u64>,
}

impl Args {
    /// Whether this runs an engine, which wants worker threads; every other verb does with one.
    pub fn runs_engine(&self) -> bool {
        matches!(self.verb, Some(Verb::Serve { .. } | Verb::Demo { .. }))
    }

    pub(super) fn wants_json(&self) -> bool {
        match &self.verb {
            Some(
                Verb::Init { reading, .. }
                | Verb::Check { reading }
                | Verb::Status { reading }
                | Verb::Services { reading }
                | Verb::Usage { reading, .. }
                | Verb::Key {
                    what:
                        KeyVerb::Add { reading, .. }
                        | KeyVerb::List { reading }
                        | KeyVerb::Remove { reading, .. },
                }
                | Verb::Logs { reading, .. }
                | Verb::Start { reading, .. }
                | Verb::Stop { reading, .. }
                | Verb::Restart { reading, .. }
                | Verb::Login { reading, .. },
            ) => reading.json,
            None
            | Some(
                Verb::Serve { .. }
                | Verb::Demo { .. }
                | Verb::Open { .. }
                | Verb::Simulate(_)
                | Verb::Uninstall { .. },
            ) => false,
        }
    }
}

impl Common {
    /// The data folder asked for.
    pub(super) fn folder(&self) -> Result<DataFolder, Problem> {
        DataFolder::new(self.data_dir.as_deref())
    }

    /// A client of the engine on that folder.
    pub(super) fn client(&self) -> Result<Client, Problem> {
        let folder = self.folder()?;
        if folder.path().is_dir() {
            return Ok(Client::new(folder.socket()?));
        }
        // No folder, no engine; and asking must not make one.
        Ok(Client::new(folder.path().join("engine.sock")))
    }

    /// The configuration asked for.
    pub(super) fn config_file(&self) -> Result<PathBuf, Problem> {
        match &self.config {
            Some(path) => Ok(path.clone()),
            None => Ok(self.folder()?.config()),
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definitions_hold() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_documented_line_is_understood() {
        for line in [
            "studio-cockpit",
            "studio-cockpit serve",
            "studio-cockpit serve --stop-services --config a.toml --data-dir d --log-level debug",
            "studio-cockpit demo",
            "studio-cockpit init --write",
            "studio-cockpit check --json",
            "studio-cockpit status --json",
            "studio-cockpit services",
            "studio-cockpit logs api -f --grep error --tail 50",
            "studio-cockpit start api",
            "studio-cockpit stop api",
            "studio-cockpit stop --all",
            "studio-cockpit restart api --data-dir d",
            "studio-cockpit key add app --requests-per-minute 60 --tokens-per-minute 9 --usd-per-day 5 --usd-per-month 50 --models a,b --max-tokens 9",
            "studio-cockpit key list --json",
            "studio-cockpit key remove app",
            "studio-cockpit login on",
            "studio-cockpit login off",
            "studio-cockpit uninstall --yes --keep-data",
            "studio-cockpit open --print-url",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in [
            "studio-cockpit nonsense",
            "studio-cockpit stop",
            "studio-cockpit stop api --all",
            "studio-cockpit login maybe",
            "studio-cockpit key",
            "studio-cockpit key add",
            "studio-cockpit key add app --requests-per-minute 0",
            "studio-cockpit logs",
            "studio-cockpit logs api --tail 10001",
            "studio-cockpit --json status",
            "studio-cockpit uninstall --keep-data --delete-data",
            "studio-cockpit status --log-level loud",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(
            parse("studio-cockpit --version").unwrap_err().exit_code(),
            0
        );
    }

    #[test]
    fn asking_a_folder_that_is_not_there_does_not_make_it() {
        let temp = tempfile::tempdir().unwrap();
        let absent = temp.path().join("d".repeat(150));
        let common = Common {
            config: None,
            data_dir: Some(absent.clone()),
            log_level: None,
        };
        common.client().unwrap();
        assert!(!absent.exists());
    }
}

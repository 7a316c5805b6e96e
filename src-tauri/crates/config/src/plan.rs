//! What the configuration will do, for a person and for a program.

use std::fmt::{self, Write};

use cockpit_model::ServiceSpec;
use cockpit_model::spec::{ProbeCheck, ProbeSpec, Run};
use cockpit_model::traffic::TrafficSpec;
use serde::Serialize;

use crate::{Config, format_duration, start_order};

/// The plan: what starts, in which order, and how it is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Where the API and the UI will be.
    pub listen: String,
    /// The gateway, in words; null: there is none.
    pub gateway: Option<String>,
    /// Where OpenTelemetry is taken; null: nowhere.
    pub otlp: Option<String>,
    /// Where prices are fetched and how often, in words; null: nowhere.
    pub prices: Option<String>,
    /// In start order.
    pub services: Vec<PlannedService>,
    /// What is accepted without effect, or looks like a slip.
    pub warnings: Vec<String>,
}

/// One service of the plan. Holds no environment: it may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedService {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// What is run, in words.
    pub runs: String,
    /// Its address.
    pub listen: Option<String>,
    /// What makes it ready, in words.
    pub ready: String,
    /// What shows that it hangs, in words; null: nothing is asked.
    pub live: Option<String>,
    /// Whether the gateway listens at its address, and it runs behind that on a port of its own.
    pub behind_gateway: bool,
    /// How many instances.
    pub replicas: u16,
    /// What must be ready before it.
    pub depends_on: Vec<String>,
    /// Whether it starts with the cockpit.
    pub autostart: bool,
}

impl Plan {
    /// The plan of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            listen: config.cockpit.listen.to_string(),
            gateway: config.traffic.as_ref().map(gateway_words),
            otlp: config.otlp.map(|listen| listen.to_string()),
            prices: config.prices.as_ref().map(|prices| {
                let every = format_duration(prices.refresh);
                format!("{}, fetched once they are {every} old", prices.url)
            }),
            services: start_order(&config.services)
                .into_iter()
                .filter_map(|at| config.services.get(at))
                .map(planned)
                .collect(),
            warnings: config.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The plan as `studio-cockpit check` prints it.
pub fn plan(config: &Config) -> String {
    Plan::of(config).to_string()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Cockpit at http://{}", self.listen)?;
        if let Some(gateway) = &self.gateway {
            writeln!(f, "Gateway at {gateway}")?;
        }
        if let Some(otlp) = &self.otlp {
            writeln!(f, "OpenTelemetry at http://{otlp}")?;
        }
        if let Some(prices) = &self.prices {
            writeln!(f, "Prices from {prices}")?;
        }
        match self.services.len() {
            0 => writeln!(f, "No services yet")?,
            1 => writeln!(f, "1 service")?,
            n => writeln!(f, "{n} services, in start order")?,
        }
        for (at, service) in self.services.iter().enumerate() {
            writeln!(f)?;
            write!(f, "{}. {} ({})", at + 1, service.name, service.kind)?;
            if let Some(listen) = &service.listen {
                write!(f, " at {listen}")?;
            }
            if service.behind_gateway {
                write!(f, ", where the gateway answers for it")?;
            }
            if service.replicas > 1 {
                write!(f, ", {} instances", service.replicas)?;
            }
            if !service.autostart {
                write!(f, ", started by hand")?;
            }
            writeln!(f)?;
            writeln!(f, "   runs   {}", service.runs)?;
            if !service.depends_on.is_empty() {
                writeln!(f, "   after  {}", service.depends_on.join(", "))?;
            }
            writeln!(f, "   ready  {}", service.ready)?;
            if let Some(live) = &service.live {
                writeln!(f, "   live   {live}")?;
            }
        }
        if !self.warnings.is_empty() {
            writeln!(f)?;
            for warning in &self.warnings {
                writeln!(f, "warning: {warning}")?;
            }
        }
        Ok(())
    }
}

/// `http://127.0.0.1:11435: providers openai, ollama; routes chat; keys app`.
fn gateway_words(traffic: &TrafficSpec) -> String {
    let names = |what: &str, names: Vec<&str>| match names.as_slice() {
        [] => String::new(),
        names => format!("; {what} {}", names.join(", ")),
    };
    let providers: Vec<&str> = traffic
        .providers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let providers = if providers.is_empty() {
        "no providers yet".to_owned()
    } else {
        format!("providers {}", providers.join(", "))
    };
    let routes = names(
        "routes",
        traffic.routes.iter().map(|one| one.name.as_str()).collect(),
    );
    let keys = names(
        "one of the keys is needed:",
        traffic.keys.iter().map(|one| one.name.as_str()).collect(),
    );
    let fronts = traffic
        .fronts
        .iter()
        .map(|front| format!(", and at {} for {}", front.listen, front.service))
        .collect::<String>();
    format!(
        "http://{}{fronts}: {providers}{routes}{keys}",
        traffic.listen
    )
}

fn planned(spec: &ServiceSpec) -> PlannedService {
    // One instance has the service's own port; several have each another.
    let port = spec
        .listen_port()
        .filter(|port| !spec.has_own_ports() && *port != 0);
    let filled = |text: String| match port {
        Some(port) => text.replace("{port}", &port.to_string()),
        None => text,
    };
    PlannedService {
        name: spec.name.clone(),
        kind: spec.kind.as_str().to_owned(),
        runs: filled(match &spec.run {
            Run::Process(words) => words
                .iter()
                .map(|w| quoted(w))
                .collect::<Vec<_>>()
                .join(" "),
            Run::Driver => match &spec.options.project {
                Some(project) => format!("{} in {}", spec.kind.as_str(), project.display()),
                None => format!("{}, by its own means", spec.kind.as_str()),
            },
            Run::Watch => "nothing, it is only watched".to_owned(),
        }),
        listen: spec.listen.clone(),
        ready: match (&spec.ready, &spec.run, spec.kind) {
            (Some(probe), _, _) => filled(probe_words(probe)),
            (None, _, cockpit_model::spec::Kind::Task) => "when it exits with 0".to_owned(),
            (None, Run::Process(_), _) => "once it runs".to_owned(),
            (None, _, _) => "when its own checks pass".to_owned(),
        },
        live: spec.live.as_ref().map(|probe| filled(probe_words(probe))),
        behind_gateway: spec.options.behind_gateway,
        replicas: spec.replicas,
        depends_on: spec.depends_on.clone(),
        autostart: spec.autostart,
    }
}

fn probe_words(probe: &ProbeSpec) -> String {
    let mut words = match &probe.check {
        ProbeCheck::Http(url) => format!("GET {url}"),
        ProbeCheck::Tcp(address) => format!("connect to {address}"),
        ProbeCheck::Exec(command) => format!(
            "run {}",
            command
                .iter()
                .map(|w| quoted(w))
                .collect::<Vec<_>>()
                .join(" ")
        ),
        ProbeCheck::Postgres(url) => format!("SELECT 1 on {url}"),
        ProbeCheck::Log(text) => return format!("the log line {text:?}"),
    };
    let _ = write!(
        words,
        " every {}, {} failures down, {} successes up",
        format_duration(probe.every),
        probe.failures,
        probe.successes
    );
    words
}

/// A word as one would type it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,{}~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''").replace('\n', "\\n"))
    }
}

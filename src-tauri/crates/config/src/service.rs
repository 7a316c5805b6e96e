//! `[services.NAME]`: reads what the file says and completes it with the kind's defaults.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use cockpit_model::ServiceSpec;
use cockpit_model::spec::{
    Kind, LimitAction, LimitsSpec, LogSpec, PresetOptions, ProbeCheck, ProbeSpec, RestartPolicy,
    RestartSpec, Run, StopSpec,
};
use toml::de::DeValue;

use crate::address::Address;
use crate::fields::{At, Fields, short_name, type_name};
use crate::files::Paths;
use crate::kinds::{self, Preset, Runs};
use crate::report::Finding;
use crate::{command, environment, probe, secrets, suggest};

const KEYS: &[&str] = &[
    "kind",
    "command",
    "cwd",
    "env",
    "env_file",
    "depends_on",
    "replicas",
    "listen",
    "ready",
    "live",
    "start_timeout",
    "restart",
    "stop",
    "limits",
    "logs",
    "autostart",
    "project",
    "models",
    "url",
    "database",
];

/// Keys that only some kinds understand.
const OWN: &[(&str, &[Kind])] = &[
    ("project", &[Kind::Supabase]),
    ("models", &[Kind::Ollama]),
    ("url", &[Kind::Url, Kind::Supabase]),
    ("database", &[Kind::Postgres, Kind::Supabase]),
];

/// Keys without meaning for what is only watched.
const PROCESS_ONLY: &[&str] = &[
    "command",
    "cwd",
    "env",
    "env_file",
    "replicas",
    "live",
    "start_timeout",
    "restart",
    "stop",
    "limits",
    "logs",
];

const POLICIES: &[(&str, RestartPolicy)] = &[
    ("always", RestartPolicy::Always),
    ("on_failure", RestartPolicy::OnFailure),
    ("never", RestartPolicy::Never),
];

const ACTIONS: &[(&str, LimitAction)] = &[
    ("restart", LimitAction::Restart),
    ("notify", LimitAction::Notify),
];

const SIGNALS: &[&str] = &[
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL",
];

/// A service with the places that judging all of them together needs.
pub(crate) struct Placed {
    pub(crate) spec: ServiceSpec,
    /// Where its address stands; its name, where the address is the kind's.
    pub(crate) listen: Option<At<Address>>,
    pub(crate) depends_on: Vec<At<String>>,
}

/// Every service with an acceptable name, in the order of the file.
pub(crate) fn read_all(root: &Fields<'_, '_>, paths: &Paths<'_>) -> Vec<Placed> {
    let Some(services) = root.names("services", "[services.api]") else {
        return Vec::new();
    };
    let mut all: Vec<Placed> = Vec::new();
    for (name, value) in services.entries() {
        let report = services.report;
        if let Err(why) = check_name(name.value) {
            report.error(
                &name.span,
                Finding::new(format!("the service name {why}"))
                    .text(short_name(name.value))
                    .suggest("letters, digits, and inside also - _ . : [services.api]"),
            );
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            report.error(
                &name.span,
                Finding::new(format!(
                    "`services.{}` must be a table, not {}",
                    name.value,
                    type_name(value.get_ref())
                ))
                .text(name.value)
                .suggest(format!("begin it with [services.{}]", name.value)),
            );
            continue;
        };
        if let Some(twin) = all
            .iter()
            .find(|other| other.spec.name.eq_ignore_ascii_case(name.value))
        {
            report.error(
                &name.span,
                Finding::new(format!(
                    "the service name differs from `{}` only in its case",
                    twin.spec.name
                ))
                .suggest("name them apart: a Mac's disk does not tell the case"),
            );
        }
        let fields = Fields::known(
            report,
            table,
            name.span.clone(),
            format!("services.{}", name.value),
            KEYS,
        );
        all.push(Reader { fields, paths }.read(name));
    }
    all
}

/// Names become folders, so they must never be paths.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.contains(['/', '\\']) || name.contains("..") || name == "." || name == "~" {
        return Err("looks like a path");
    }
    if name.len() > 64 {
        return Err("is longer than 64 characters");
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        return Err("holds a character that is not allowed");
    }
    if secrets::is_secret(name) {
        return Err("looks like a secret");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must begin with a letter or a digit");
    }
    Ok(())
}

struct Reader<'f, 'r, 'd> {
    fields: Fields<'r, 'd>,
    paths: &'f Paths<'f>,
}

impl Reader<'_, '_, '_> {
    fn read(&self, name: At<&str>) -> Placed {
        let fields = &self.fields;
        let kind = fields.choice("kind", kinds::KINDS).unwrap_or_default();
        self.check_kind(kind);
        let listen = self.listen(kind);
        let preset = kinds::preset(kind, listen.as_ref().map(|l| &l.value));
        let replicas = self.replicas(kind);
        let cwd = self.cwd();
        let command = command::read(fields, "command");
        let run = self.run(kind, &preset, command, cwd.as_deref(), listen.as_ref());
        let options = self.options(kind);
        let depends_on = self.depends_on();
        let mut env = environment::read(fields);
        if matches!(run, Run::Process(_)) {
            complete_env(kind, &preset, &run, listen.as_ref(), replicas, &mut env);
        }
        let (ready, live) = self.probes(kind, &preset, &options);
        if replicas > 1 {
            self.check_replicas(listen.as_ref(), [("ready", &ready), ("live", &live)]);
        }
        if listen.is_none() && replicas == 1 {
            self.check_port(&env, &run);
        }
        let env_file = self.env_file(cwd.as_deref());
        let spec = ServiceSpec {
            name: name.value.to_owned(),
            kind,
            cwd: match &run {
                Run::Process(_) => cwd.or_else(|| Some(self.paths.folder.clone())),
                Run::Driver | Run::Watch => cwd,
            },
            run,
            env,
            env_file,
            depends_on: depends_on.iter().map(|d| d.value.clone()).collect(),
            replicas,
            listen: listen.as_ref().map(|l| l.value.to_string()),
            ready: ready.map(|p| p.value),
            live: live.map(|p| p.value),
            start_timeout: fields
                .span_of_time("start_timeout", "5m")
                .unwrap_or(kinds::START_TIMEOUT),
            restart: self.restart(&preset),
            stop: self.stop(&preset),
            limits: self.limits(),
            logs: self.logs(),
            autostart: fields.boolean("autostart").unwrap_or(true),
            options,
        };
        Placed {
            spec,
            listen,
            depends_on,
        }
    }

    fn error(&self, span: &Range<usize>, finding: Finding) {
        self.fields.report.error(span, finding);
    }

    /// Keys that belong to other kinds, or mean nothing for this one.
    fn check_kind(&self, kind: Kind) {
        let fields = &self.fields;
        for (key, kinds) in OWN {
            if fields.get(key).is_some() && !kinds.contains(&kind) {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                self.error(
                    &fields.key_span(key),
                    Finding::new(format!(
                        "`{}` is only for services of kind {}",
                        fields.path_of(key),
                        names.join(" and ")
                    ))
                    .suggest(format!(
                        "remove it, or write kind = \"{}\"",
                        names.join("\" or \"")
                    )),
                );
            }
        }
        let watched =
            kind == Kind::Url || (kind == Kind::Postgres && fields.get("command").is_none());
        for key in PROCESS_ONLY {
            if watched && *key != "command" && fields.get(key).is_some() {
                fields.report.warn(
                    &fields.key_span(key),
                    Finding::new(format!(
                        "`{}` has no effect: the service is only watched",
                        fields.path_of(key)
                    ))
                    .suggest("remove it"),
                );
            }
        }
        if kind == Kind::Task {
            for key in ["ready", "live"] {
                if fields.get(key).is_some() {
                    self.error(
                        &fields.key_span(key),
                        Finding::new(format!(
                            "`{}` cannot be asked of a task: it is done when it exits with 0",
                            fields.path_of(key)
                        ))
                        .suggest("remove it, or write kind = \"command\""),
                    );
                }
            }
        }
    }

    fn listen(&self, kind: Kind) -> Option<At<Address>> {
        let fields = &self.fields;
        let usual = kinds::listen(kind);
        let example = usual.unwrap_or("127.0.0.1:3000");
        if fields.get("listen").is_none() {
            return usual
                .and_then(|text| Address::parse(text).ok())
                .map(|value| At {
                    value,
                    span: fields.at.clone(),
                });
        }
        let text = fields.open_text("listen", example)?;
        match Address::parse(&text.value) {
            Ok(value) => Some(At {
                value,
                span: text.span,
            }),
            Err(why) => {
                let port = text.value.trim_start_matches(':');
                let example = match port.parse::<u16>() {
                    Ok(port) => format!("127.0.0.1:{port}"),
                    Err(_) => example.to_owned(),
                };
                self.error(
                    &text.span,
                    Finding::new(format!("the address `{}` {why}", fields.path_of("listen")))
                        .suggest(format!("write host:port: listen = \"{example}\"")),
                );
                // A place is kept, so that `{port}` is not reported as well.
                Some(At {
                    value: Address {
                        host: "127.0.0.1".to_owned(),
                        port: 0,
                    },
                    span: text.span,
                })
            }
        }
    }

    fn replicas(&self, kind: Kind) -> u16 {
        let fields = &self.fields;
        let Some(count) = fields.whole("replicas", 1..=64, 2) else {
            return 1;
        };
        if count.value > 1 && !matches!(kind, Kind::Command | Kind::Node | Kind::Ollama) {
            self.error(
                &count.span,
                Finding::new(format!(
                    "a service of kind {} has one instance",
                    kind.as_str()
                ))
                .suggest("remove `replicas`"),
            );
            return 1;
        }
        if count.value > 1 {
            fields.report.warn(
                &fields.key_span("replicas"),
                Finding::new(format!(
                    "`{}`: the instances run, but nothing balances between them yet",
                    fields.path_of("replicas")
                ))
                .unquoted(),
            );
        }
        u16::try_from(count.value).unwrap_or(1)
    }

    fn cwd(&self) -> Option<PathBuf> {
        let text = self.fields.open_text("cwd", "~/code/app")?;
        let path = self.paths.resolve(&text.value);
        if let Err(why) = self.paths.files.folder(&path) {
            self.error(
                &text.span,
                Finding::new(format!(
                    "the folder of `{}` {why}: {}",
                    self.fields.path_of("cwd"),
                    path.display()
                ))
                .suggest("name an existing folder; relative ones start beside this file"),
            );
        }
        Some(path)
    }

    fn env_file(&self, cwd: Option<&std::path::Path>) -> Option<PathBuf> {
        let text = self.fields.open_text("env_file", ".env")?;
        let beside = self.paths.resolve(&text.value);
        // A file beside cockpit.toml wins; else the one in the service's own folder.
        let path = match cwd {
            Some(cwd) if !self.paths.files.exists(&beside) => {
                let inside = self.paths.resolve_in(cwd, &text.value);
                if self.paths.files.exists(&inside) {
                    inside
                } else {
                    beside
                }
            }
            _ => beside,
        };
        if let Err(why) = self.paths.files.dotenv(&path) {
            self.error(
                &text.span,
                Finding::new(format!(
                    "the file of `{}` {why}: {}",
                    self.fields.path_of("env_file"),
                    path.display()
                ))
                .suggest("name a readable file of NAME=value lines; it is looked for beside this file, then in `cwd`"),
            );
        }
        Some(path)
    }

    fn run(
        &self,
        kind: Kind,
        preset: &Preset,
        command: Option<At<Vec<String>>>,
        cwd: Option<&std::path::Path>,
        listen: Option<&At<Address>>,
    ) -> Run {
        let fields = &self.fields;
        let given = command.map(|mut command| {
            if let Some(program) = command.value.first_mut() {
                *program = self.program(program, cwd);
            }
            command
        });
        match (preset.runs, given) {
            (Runs::Driver | Runs::Watch, _) => {
                if fields.get("command").is_some() {
                    self.error(
                        &fields.key_span("command"),
                        Finding::new(format!(
                            "a service of kind {} runs no command of its own",
                            kind.as_str()
                        ))
                        .suggest("remove it, or write kind = \"command\""),
                    );
                }
                if preset.runs == Runs::Driver {
                    Run::Driver
                } else {
                    Run::Watch
                }
            }
            (_, Some(command)) => Run::Process(command.value),
            (Runs::Default(words), None) => {
                let host = listen.map_or("127.0.0.1", |l| l.value.host.as_str());
                Run::Process(
                    words
                        .iter()
                        .map(|word| word.replace("{host}", host))
                        .collect(),
                )
            }
            (Runs::CommandOrWatch, None) => Run::Watch,
            (Runs::Command, None) => {
                // A misspelt `command` was reported as the unknown key it is.
                let misspelt = fields.entries().iter().any(|(key, _)| {
                    !KEYS.contains(&key.value)
                        && suggest::nearest(key.value, KEYS.iter().copied()) == Some("command")
                });
                if fields.get("command").is_none() && !misspelt {
                    self.error(
                        &fields.at,
                        Finding::new(format!("`{}` has no command", fields.path)).suggest(format!(
                            "add command = [\"program\", \"argument\"], or a kind: {}",
                            kinds::KINDS
                                .iter()
                                .map(|(name, _)| *name)
                                .filter(|name| *name != "command" && *name != "task")
                                .collect::<Vec<_>>()
                                .join(", ")
                        )),
                    );
                }
                Run::Process(Vec::new())
            }
        }
    }

    /// A program named by a path starts in the service's folder, as it would in a terminal there.
    fn program(&self, program: &str, cwd: Option<&std::path::Path>) -> String {
        if program.starts_with('~') {
            return self.paths.expand(program).display().to_string();
        }
        if program.contains('/') && !program.contains("{port}") {
            let folder = cwd.unwrap_or(&self.paths.folder);
            return self.paths.resolve_in(folder, program).display().to_string();
        }
        program.to_owned()
    }

    fn options(&self, kind: Kind) -> PresetOptions {
        let fields = &self.fields;
        let mut options = PresetOptions::default();
        if kind == Kind::Supabase {
            options.project = Some(self.project());
        }
        if let Some(models) = fields.texts("models", "[\"llama3.2\"]") {
            for model in models.value {
                if model.value.trim().is_empty() {
                    self.error(
                        &model.span,
                        Finding::new(format!(
                            "`{}` holds an empty name",
                            fields.path_of("models")
                        ))
                        .suggest("for example models = [\"llama3.2\"]"),
                    );
                } else {
                    options.models.push(model.value);
                }
            }
        }
        options.url = self.url("url", &["http", "https"], "https://example.com/health");
        if kind == Kind::Url && fields.get("url").is_none() {
            self.error(
                &fields.at,
                Finding::new(format!("`{}` has no url to watch", fields.path))
                    .suggest("add url = \"https://example.com/health\""),
            );
        }
        options.database = self.url(
            "database",
            &["postgres", "postgresql"],
            "postgres://127.0.0.1:5432/postgres",
        );
        options
    }

    fn url(&self, key: &str, schemes: &[&str], example: &str) -> Option<String> {
        let text = self.fields.open_text(key, example)?;
        match probe::check_url(&text.value, schemes) {
            Ok(()) => Some(text.value),
            Err(why) => {
                self.error(
                    &text.span,
                    Finding::new(format!("`{}` {why}", self.fields.path_of(key)))
                        .suggest(format!("for example {key} = \"{example}\"")),
                );
                None
            }
        }
    }

    fn project(&self) -> PathBuf {
        let Some(text) = self.fields.open_text("project", "~/code/app") else {
            return self.paths.folder.clone();
        };
        let path = self.paths.resolve(&text.value);
        if let Err(why) = self.paths.files.folder(&path) {
            self.error(
                &text.span,
                Finding::new(format!(
                    "the folder of `{}` {why}: {}",
                    self.fields.path_of("project"),
                    path.display()
                ))
                .suggest("name the folder that holds supabase/config.toml"),
            );
        }
        path
    }

    fn depends_on(&self) -> Vec<At<String>> {
        let Some(list) = self.fields.texts("depends_on", "[\"database\"]") else {
            return Vec::new();
        };
        let mut unique: Vec<At<String>> = Vec::new();
        for name in list.value {
            if unique.iter().any(|other| other.value == name.value) {
                self.fields.report.warn(
                    &name.span,
                    Finding::new(format!(
                        "`{}` names it twice",
                        self.fields.path_of("depends_on")
                    )),
                );
            } else {
                unique.push(name);
            }
        }
        unique
    }

    fn probes(
        &self,
        kind: Kind,
        preset: &Preset,
        options: &PresetOptions,
    ) -> (Option<At<ProbeSpec>>, Option<At<ProbeSpec>>) {
        if kind == Kind::Task {
            return (None, None);
        }
        let usual = match (kind, &options.url, &options.database) {
            (Kind::Url, Some(url), _) => Some(ProbeCheck::Http(url.clone())),
            (Kind::Postgres, _, Some(url)) => Some(ProbeCheck::Postgres(url.clone())),
            _ => preset.ready.clone(),
        };
        let fields = &self.fields;
        (
            probe::read(fields, "ready", usual, preset, self.paths),
            probe::read(fields, "live", preset.live.clone(), preset, self.paths),
        )
    }

    /// With several instances a fixed port is the balancer's: each instance must be asked by its own.
    fn check_replicas(
        &self,
        listen: Option<&At<Address>>,
        probes: [(&str, &Option<At<ProbeSpec>>); 2],
    ) {
        for (key, probe) in probes {
            let Some(probe) = probe else { continue };
            let target = match &probe.value.check {
                ProbeCheck::Http(target) | ProbeCheck::Tcp(target) => target,
                _ => continue,
            };
            let Some(listen) = listen else { continue };
            if !target.contains("{port}") && target.contains(&format!(":{}", listen.value.port)) {
                self.error(
                    &probe.span,
                    Finding::new(format!(
                        "`{}` asks the shared address, not each of the instances",
                        self.fields.path_of(key)
                    ))
                    .text(target.clone())
                    .suggest(format!(
                        "write {{port}}: {}",
                        target.replace(&format!(":{}", listen.value.port), ":{port}")
                    )),
                );
            }
        }
        if let Some(listen) = listen
            && let Some(port) = self.fixed_port(listen.value.port)
        {
            self.error(
                &self.fields.key_span("command"),
                Finding::new(format!(
                    "`{}` gives every instance the same port",
                    self.fields.path_of("command")
                ))
                .text(port)
                .suggest("write {port}: each instance gets its own, also as PORT"),
            );
        }
    }

    /// An argument of the command that is, or ends in, the shared port.
    fn fixed_port(&self, port: u16) -> Option<String> {
        let Some(DeValue::Array(words)) = self.fields.get("command").map(toml::Spanned::get_ref)
        else {
            return None;
        };
        let port = port.to_string();
        words
            .iter()
            .filter_map(|word| match word.get_ref() {
                DeValue::String(word) => Some(word.to_string()),
                _ => None,
            })
            .find(|word| {
                *word == port
                    || word.ends_with(&format!("={port}"))
                    || word.ends_with(&format!(":{port}"))
            })
    }

    /// `{port}` without an address has no value.
    fn check_port(&self, env: &BTreeMap<String, String>, run: &Run) {
        let fields = &self.fields;
        let in_command =
            matches!(run, Run::Process(words) if words.iter().any(|w| w.contains("{port}")));
        let in_probe = |key: &str| {
            ["http", "tcp", "postgres"].iter().find_map(|check| {
                let DeValue::Table(probe) = fields.get(key)?.get_ref() else {
                    return None;
                };
                let value = probe.get(*check)?;
                match value.get_ref() {
                    DeValue::String(text) if text.contains("{port}") => Some(value.span()),
                    _ => None,
                }
            })
        };
        let place = if in_command {
            Some(fields.key_span("command"))
        } else if env.values().any(|value| value.contains("{port}")) {
            Some(fields.key_span("env"))
        } else {
            in_probe("ready").or_else(|| in_probe("live"))
        };
        if let Some(span) = place {
            self.error(
                &span,
                Finding::new(format!("`{{port}}` has no value in `{}`", fields.path))
                    .suggest("add the service's address: listen = \"127.0.0.1:3000\""),
            );
        }
    }

    fn restart(&self, preset: &Preset) -> RestartSpec {
        let mut restart = RestartSpec {
            policy: preset.policy,
            initial_delay: kinds::INITIAL_DELAY,
            max_delay: kinds::MAX_DELAY,
            reset_after: kinds::RESET_AFTER,
            max_restarts: None,
        };
        if let Some(DeValue::String(_)) = self.fields.get("restart").map(toml::Spanned::get_ref) {
            if let Some(policy) = self.fields.choice("restart", POLICIES) {
                restart.policy = policy;
            }
            return restart;
        }
        let Some(fields) = self.fields.section(
            "restart",
            &[
                "policy",
                "initial_delay",
                "max_delay",
                "reset_after",
                "max_restarts",
            ],
            "restart = { policy = \"always\", max_delay = \"30s\" }",
        ) else {
            return restart;
        };
        if let Some(policy) = fields.choice("policy", POLICIES) {
            restart.policy = policy;
        }
        let initial = fields.duration("initial_delay", "0ms");
        if let Some(initial) = &initial {
            restart.initial_delay = initial.value;
        }
        if let Some(max) = fields.span_of_time("max_delay", "30s") {
            restart.max_delay = max;
        }
        if let Some(reset) = fields.span_of_time("reset_after", "30s") {
            restart.reset_after = reset;
        }
        restart.max_restarts = fields
            .whole("max_restarts", 1..=1_000_000, 10)
            .and_then(|n| u32::try_from(n.value).ok());
        if let Some(initial) = initial.filter(|i| i.value > restart.max_delay) {
            self.error(
                &initial.span,
                Finding::new(format!(
                    "`{}` is longer than `max_delay`",
                    fields.path_of("initial_delay")
                ))
                .suggest("make it shorter, or `max_delay` longer"),
            );
        }
        restart
    }

    fn stop(&self, preset: &Preset) -> StopSpec {
        let mut stop = StopSpec {
            signal: preset.signal.to_owned(),
            grace: preset.grace,
        };
        let Some(fields) = self.fields.section(
            "stop",
            &["signal", "grace"],
            "stop = { signal = \"SIGTERM\", grace = \"10s\" }",
        ) else {
            return stop;
        };
        if let Some(signal) = fields.text("signal", "SIGTERM") {
            let name = signal.value.to_ascii_uppercase();
            let full = if name.starts_with("SIG") {
                name
            } else {
                format!("SIG{name}")
            };
            if SIGNALS.contains(&full.as_str()) {
                stop.signal = full;
            } else {
                fields.report.error(
                    &signal.span,
                    Finding::new(format!("`{}` is no signal", fields.path_of("signal")))
                        .suggest_if(suggest::did_you_mean(&full, SIGNALS, "choose one of")),
                );
            }
        }
        if let Some(grace) = fields.duration("grace", "10s") {
            stop.grace = grace.value;
        }
        stop
    }

    fn limits(&self) -> LimitsSpec {
        let mut limits = LimitsSpec {
            memory: None,
            action: LimitAction::Restart,
        };
        if let Some(fields) = self.fields.section(
            "limits",
            &["memory", "action"],
            "limits = { memory = \"4GiB\", action = \"restart\" }",
        ) {
            limits.memory = fields.size("memory", 1 << 20, "4GiB");
            if let Some(action) = fields.choice("action", ACTIONS) {
                limits.action = action;
            }
        }
        limits
    }

    fn logs(&self) -> LogSpec {
        let mut logs = LogSpec {
            max_size: kinds::LOG_SIZE,
            keep: kinds::LOG_KEEP,
        };
        if let Some(fields) = self.fields.section(
            "logs",
            &["max_size", "keep"],
            "logs = { max_size = \"50MiB\", keep = 5 }",
        ) {
            if let Some(size) = fields.size("max_size", 1 << 10, "50MiB") {
                logs.max_size = size;
            }
            if let Some(keep) = fields.whole("keep", 0..=1000, u64::from(kinds::LOG_KEEP)) {
                logs.keep = u32::try_from(keep.value).unwrap_or(kinds::LOG_KEEP);
            }
        }
        logs
    }
}

/// The kind's own variables, and `PORT` where nothing else tells the process its port.
fn complete_env(
    kind: Kind,
    preset: &Preset,
    run: &Run,
    listen: Option<&At<Address>>,
    replicas: u16,
    env: &mut BTreeMap<String, String>,
) {
    if let Some(listen) = listen {
        for (name, value) in preset.env {
            env.entry((*name).to_owned())
                .or_insert_with(|| value.replace("{host}", &listen.value.host));
        }
    }
    let told = matches!(run, Run::Process(words) if words.iter().any(|w| w.contains("{port}")))
        || env.values().any(|value| value.contains("{port}"));
    let listens = listen.is_some() || replicas > 1;
    if listens && !told && matches!(kind, Kind::Command | Kind::Node) {
        env.entry("PORT".to_owned())
            .or_insert_with(|| "{port}".to_owned());
    }
}

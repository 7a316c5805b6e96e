//! `[services.NAME]`: reads what the file says and completes it with the kind's defaults.

mod place;
mod policy;
mod run;

use std::ops::Range;

use cockpit_model::ServiceSpec;
use cockpit_model::spec::{Kind, Run};
use toml::de::DeValue;

use crate::address::Address;
use crate::fields::{At, Choice, Fields, short_name, type_name};
use crate::files::Paths;
use crate::kinds;
use crate::report::Finding;
use crate::{command, environment, names};

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
    "behind_gateway",
    "url",
    "database",
];

/// Keys that only some kinds understand.
const OWN: &[(&str, &[Kind])] = &[
    ("project", &[Kind::Supabase]),
    ("models", &[Kind::Ollama]),
    ("behind_gateway", &[Kind::Ollama]),
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
        if let Err(why) = names::check(name.value) {
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

struct Reader<'f, 'r, 'd> {
    fields: Fields<'r, 'd>,
    paths: &'f Paths<'f>,
}

impl Reader<'_, '_, '_> {
    fn read(&self, name: At<&str>) -> Placed {
        let fields = &self.fields;
        let chosen = fields.choice_meant("kind", kinds::KINDS);
        let kind = match chosen {
            Choice::Made(kind) => kind,
            Choice::Open | Choice::Unclear => Kind::default(),
        };
        let is_clear = chosen != Choice::Unclear;
        if is_clear {
            self.check_kind(kind);
        }
        let listen = self.listen(kind);
        let options = self.options(kind);
        // Behind the gateway it answers nobody but that.
        let inner = match &listen {
            Some(listen) if options.behind_gateway => Some(At {
                value: Address::loopback(listen.value.port),
                span: listen.span.clone(),
            }),
            _ => listen.clone(),
        };
        let preset = kinds::preset(kind, inner.as_ref().map(|l| &l.value));
        let replicas = self.replicas(kind);
        let cwd = self.cwd();
        let command = command::read(fields, "command");
        let run = self.run(kind, &preset, command, cwd.as_deref(), inner.as_ref());
        if is_clear {
            self.check_command(&preset, &run);
        }
        let depends_on = self.depends_on();
        let mut env = environment::read(fields);
        if options.behind_gateway {
            self.check_behind_gateway(listen.as_ref(), replicas, &env);
        }
        if matches!(run, Run::Process(_)) {
            run::complete_env(&preset, inner.as_ref(), &mut env);
        }
        let (ready, live) = self.probes(kind, &preset, &options);
        if replicas > 1 || options.behind_gateway {
            let probes = [("ready", &ready), ("live", &live)];
            self.check_own_ports(listen.as_ref(), replicas, probes);
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
            // A watched database's password comes from its environment.
            let used = *key == "command" || (kind == Kind::Postgres && key.starts_with("env"));
            if watched && !used && fields.get(key).is_some() {
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
}

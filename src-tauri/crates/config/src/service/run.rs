//! What runs and where: the command, the address, the instances and their ports.

use std::collections::BTreeMap;
use std::path::Path;

use cockpit_model::spec::{Kind, ProbeCheck, ProbeSpec, Run};
use toml::de::DeValue;

use super::{KEYS, Reader};
use crate::address::Address;
use crate::fields::At;
use crate::kinds::{self, Preset, Runs};
use crate::report::Finding;
use crate::suggest;

impl Reader<'_, '_, '_> {
    pub(super) fn listen(&self, kind: Kind) -> Option<At<Address>> {
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

    pub(super) fn replicas(&self, kind: Kind) -> u16 {
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

    pub(super) fn run(
        &self,
        kind: Kind,
        preset: &Preset,
        command: Option<At<Vec<String>>>,
        cwd: Option<&Path>,
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
            (Runs::Command, None) => Run::Process(Vec::new()),
        }
    }

    /// Whether whoever must say what is run does.
    pub(super) fn check_command(&self, preset: &Preset, run: &Run) {
        let fields = &self.fields;
        let lacks = preset.runs == Runs::Command && *run == Run::Process(Vec::new());
        // A misspelt `command` was reported as the unknown key it is.
        let misspelt = fields.entries().iter().any(|(key, _)| {
            !KEYS.contains(&key.value)
                && suggest::nearest(key.value, KEYS.iter().copied()) == Some("command")
        });
        if lacks && fields.get("command").is_none() && !misspelt {
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
    }

    /// A program named by a path starts in the service's folder, as it would in a terminal there.
    pub(super) fn program(&self, program: &str, cwd: Option<&Path>) -> String {
        if program.starts_with('~') {
            return self.paths.expand(program).display().to_string();
        }
        if program.contains('/') && !program.contains("{port}") {
            let folder = cwd.unwrap_or(&self.paths.folder);
            return self.paths.resolve_in(folder, program).display().to_string();
        }
        program.to_owned()
    }

    /// Whether the gateway can take its address, and it run on another.
    pub(super) fn check_behind_gateway(
        &self,
        listen: Option<&At<Address>>,
        replicas: u16,
        env: &BTreeMap<String, String>,
    ) {
        let fields = &self.fields;
        let key = fields.key_span("behind_gateway");
        if replicas > 1 {
            self.error(
                &key,
                Finding::new(format!(
                    "`{}` cannot run behind the gateway with several instances",
                    fields.path
                ))
                .suggest("remove `replicas`, or remove `behind_gateway`"),
            );
        }
        if let Some(listen) = listen
            && (listen.value.port == 0 || listen.value.ip().is_none())
        {
            self.error(
                &listen.span,
                Finding::new(format!(
                    "`{}` names no address that the gateway could take",
                    fields.path_of("listen")
                ))
                .text(listen.value.to_string())
                .suggest(
                    "write an address of this machine with a port: listen = \"127.0.0.1:11434\"",
                ),
            );
        }
        let host = env.get("OLLAMA_HOST");
        if host.is_some_and(|host| !host.contains("{port}")) {
            self.error(
                &fields.key_span("env"),
                Finding::new(format!(
                    "`{}` gives Ollama an address; behind the gateway it gets one of its own",
                    fields.path_of("env.OLLAMA_HOST")
                ))
                .suggest("remove OLLAMA_HOST; `listen` is where the gateway answers for it"),
            );
        }
    }

    /// With several instances a fixed port is the balancer's, behind the gateway it is that's: each instance must
    /// be asked by its own.
    pub(super) fn check_own_ports(
        &self,
        listen: Option<&At<Address>>,
        replicas: u16,
        probes: [(&str, &Option<At<ProbeSpec>>); 2],
    ) {
        let (asks, gives) = if replicas > 1 {
            (
                "asks the shared address, not each of the instances",
                "gives every instance the same port",
            )
        } else {
            (
                "asks the address that the gateway takes, not Ollama",
                "gives Ollama the port that the gateway takes",
            )
        };
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
                    Finding::new(format!("`{}` {asks}", self.fields.path_of(key)))
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
                Finding::new(format!("`{}` {gives}", self.fields.path_of("command")))
                    .text(port)
                    .suggest("write {port}: each instance gets its own, also as PORT"),
            );
        }
    }

    /// An argument of the command that is, or ends in, the shared port.
    pub(super) fn fixed_port(&self, port: u16) -> Option<String> {
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
    pub(super) fn check_port(&self, env: &BTreeMap<String, String>, run: &Run) {
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
}

/// The kind's own variables, where the file does not set them. `PORT` is the supervisor's to add.
pub(super) fn complete_env(
    preset: &Preset,
    listen: Option<&At<Address>>,
    env: &mut BTreeMap<String, String>,
) {
    let Some(listen) = listen else {
        return;
    };
    for (name, value) in preset.env {
        env.entry((*name).to_owned())
            .or_insert_with(|| value.replace("{host}", &listen.value.host));
    }
}

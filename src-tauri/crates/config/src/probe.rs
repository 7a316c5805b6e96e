//! `ready` and `live`: one check, and how often, how long, how many times.

use cockpit_model::spec::{ProbeCheck, ProbeSpec};
use toml::de::DeValue;

use crate::address::is_host;
use crate::fields::{At, Fields, type_name};
use crate::kinds::{FAILURES, Preset, SUCCESSES};
use crate::report::Finding;
use crate::{command, files, secrets};

const CHECKS: &[&str] = &["http", "tcp", "exec", "postgres", "log"];
const KEYS: &[&str] = &[
    "http",
    "tcp",
    "exec",
    "postgres",
    "log",
    "every",
    "timeout",
    "failures",
    "successes",
];
const EXAMPLE: &str = "{ http = \"http://127.0.0.1:{port}/health\", every = \"2s\" }";

/// Reads the probe at `key`; `usual` is the preset's check, kept where the file names none.
/// The place is that of the key, for later remarks.
pub(crate) fn read(
    fields: &Fields<'_, '_>,
    key: &str,
    usual: Option<ProbeCheck>,
    preset: &Preset,
    paths: &files::Paths<'_>,
) -> Option<At<ProbeSpec>> {
    let complete = |check: ProbeCheck| ProbeSpec {
        check,
        every: preset.every,
        timeout: preset.timeout,
        failures: FAILURES,
        successes: SUCCESSES,
    };
    let span = fields.key_span(key);
    let Some(value) = fields.get(key) else {
        return usual.map(|check| At {
            value: complete(check),
            span,
        });
    };
    match value.get_ref() {
        DeValue::Boolean(false) => return None,
        DeValue::String(text) if text == "none" => return None,
        DeValue::Table(_) => {}
        other => {
            fields.report.error(
                &value.span(),
                Finding::new(format!(
                    "`{}` must be a probe, not {}",
                    fields.path_of(key),
                    type_name(other)
                ))
                .suggest(format!(
                    "for example {key} = {EXAMPLE}, or {key} = false for none"
                )),
            );
            return None;
        }
    }
    let probe = fields.section(key, KEYS, EXAMPLE)?;
    let named: Vec<&str> = CHECKS
        .iter()
        .copied()
        .filter(|check| probe.get(check).is_some())
        .collect();
    let check = match named.as_slice() {
        [] => {
            if usual.is_none() {
                fields.report.error(
                    &span,
                    Finding::new(format!(
                        "`{}` does not say what to ask",
                        fields.path_of(key)
                    ))
                    .suggest(format!(
                        "add one of http, tcp, exec, postgres, log: {EXAMPLE}"
                    )),
                );
            }
            usual
        }
        [one] => check(&probe, one, paths),
        [_, second, ..] => {
            fields.report.error(
                &probe.key_span(second),
                Finding::new(format!(
                    "`{}` asks several things at once: {}",
                    fields.path_of(key),
                    named.join(", ")
                ))
                .suggest("keep one of them"),
            );
            None
        }
    };
    let every = probe.span_of_time("every", "5s").unwrap_or(preset.every);
    let timeout = probe
        .span_of_time("timeout", "2s")
        .unwrap_or(preset.timeout);
    let count = |key, default: u32| {
        probe
            .whole(key, 1..=1000, u64::from(default))
            .and_then(|n| u32::try_from(n.value).ok())
            .unwrap_or(default)
    };
    let failures = count("failures", FAILURES);
    let successes = count("successes", SUCCESSES);
    check.map(|check| At {
        value: ProbeSpec {
            check,
            every,
            timeout,
            failures,
            successes,
        },
        span,
    })
}

fn check(probe: &Fields<'_, '_>, key: &str, paths: &files::Paths<'_>) -> Option<ProbeCheck> {
    match key {
        "http" => {
            let text = probe.open_text(key, "http://127.0.0.1:{port}/health")?;
            let judged = check_url(&text.value, &["http", "https"]);
            accept(probe, key, &text, judged, "http://127.0.0.1:{port}/health")
                .map(ProbeCheck::Http)
        }
        "tcp" => {
            let text = probe.open_text(key, "127.0.0.1:{port}")?;
            let judged = check_host_port(&text.value);
            accept(probe, key, &text, judged, "127.0.0.1:{port}").map(ProbeCheck::Tcp)
        }
        "postgres" => {
            let example = "postgres://127.0.0.1:{port}/postgres";
            let text = probe.open_text(key, example)?;
            let judged = if secrets::names_password(&text.value) {
                Err("cannot take a password by name; it uses PGPASSWORD of the service")
            } else {
                check_url(&text.value, &["postgres", "postgresql"])
            };
            accept(probe, key, &text, judged, example).map(ProbeCheck::Postgres)
        }
        "exec" => {
            let mut words = command::read(probe, key)?.value;
            if let Some(program) = words.first_mut()
                && program.starts_with('~')
            {
                *program = paths.expand(program).display().to_string();
            }
            Some(ProbeCheck::Exec(words))
        }
        _ => probe
            .open_text(key, "listening on")
            .map(|text| ProbeCheck::Log(text.value)),
    }
}

fn accept(
    probe: &Fields<'_, '_>,
    key: &str,
    text: &At<String>,
    judged: Result<(), &str>,
    example: &str,
) -> Option<String> {
    match judged {
        Ok(()) => Some(text.value.clone()),
        Err(why) => {
            probe.report.error(
                &text.span,
                Finding::new(format!("`{}` {why}", probe.path_of(key)))
                    .suggest(format!("for example {key} = \"{example}\"")),
            );
            None
        }
    }
}

/// Whether a text is a URL of one of the schemes; `{port}` may stand for the port.
pub(crate) fn check_url(text: &str, schemes: &[&str]) -> Result<(), &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("is not a URL");
    };
    if !schemes.contains(&scheme) {
        return Err(if schemes.contains(&"http") {
            "must begin with http:// or https://"
        } else {
            "must begin with postgres://"
        });
    }
    if text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Err("holds a blank");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            if port != "{port}" && port.parse::<u16>().is_err() {
                return Err("has no valid port");
            }
            name
        }
        _ => host,
    };
    if is_host(host) {
        Ok(())
    } else {
        Err("names no host")
    }
}

fn check_host_port(text: &str) -> Result<(), &'static str> {
    match text.rsplit_once(':') {
        Some((host, _)) if !is_host(host) => Err("must be host:port"),
        Some((_, "{port}")) => Ok(()),
        Some((_, port)) if port.parse::<u16>().is_ok_and(|port| port != 0) => Ok(()),
        Some(_) => Err("has no valid port"),
        None => Err("must be host:port"),
    }
}

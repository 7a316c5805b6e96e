//! Whatever is read: no panic, and every remark points into the file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use cockpit_config::{
    diff, format_duration, format_size, parse_duration, parse_size, plan, start_order,
};
use proptest::prelude::*;
use std::time::Duration;

/// Checks what holds for every text.
fn judge(text: &str) {
    let remarks = match common::read(text) {
        Ok(config) => {
            assert!(diff(&config, &config).is_empty());
            assert_eq!(start_order(&config.services).len(), config.services.len());
            for service in &config.services {
                assert!(!service.name.contains('/') && !service.name.contains(".."));
            }
            assert!(!plan(&config).is_empty());
            config.warnings
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason");
            errors
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').collect();
    for remark in remarks {
        assert!(remark.line >= 1 && remark.line <= lines.len(), "{remark}");
        let columns = lines[remark.line - 1].chars().count() + 1;
        assert!(remark.column >= 1 && remark.column <= columns, "{remark}");
        assert!(!remark.message.is_empty());
        assert!(!remark.to_string().contains(char::is_control), "{remark:?}");
    }
}

/// A line such as a person could write, right or wrong.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
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
        "allow_remote",
        "allowed_hosts",
        "api_key",
        "secret",
        "targets",
        "monthly_usd",
        "ready.http",
        "stop.grace",
        "env.A",
        "x",
        "\"日本\"",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "0",
        "1.5",
        "true",
        "false",
        "[]",
        "{}",
        "\"\"",
        "\"a\"",
        "\"none\"",
        "[\"a\"]",
        "[\"b\", \"a\"]",
        "[1]",
        "\"ollama\"",
        "\"task\"",
        "\"url\"",
        "\"node\"",
        "\"supabase\"",
        "\"127.0.0.1:3000\"",
        "\"127.0.0.1:0\"",
        "\"2s\"",
        "\"50MiB\"",
        "\"{port}\"",
        "{ http = \"http://127.0.0.1:{port}/\", every = \"2s\" }",
        "{ log = \"é\" }",
        "{ exec = [\"a\"] }",
        "{ A = \"b\", C = 1 }",
        "{ env = \"A\" }",
        "\"sk-abcdefghijklmnop\"",
        "\"postgres://u:p@h/d\"",
        "1979-05-27",
        "\"\\u0000\"",
        "\"\"\"a\nb\"\"\"",
        "0xff",
        "nan",
    ]);
    let header = prop::sample::select(vec![
        "[cockpit]",
        "[services.a]",
        "[services.b]",
        "[services.\"c d\"]",
        "[services.d.ready]",
        "[gateway]",
        "[otlp]",
        "[providers.p]",
        "[keys.k]",
        "[routes.r]",
        "[budgets]",
        "[alerts]",
        "[alerts.slack]",
        "[incidents]",
        "[[services]]",
        "[services]",
        "[zzz]",
    ]);
    prop_oneof![
        3 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => header.prop_map(str::to_owned),
    ]
}

/// Places where somebody may paste a secret, `%` standing for it.
const PLACES: &[&str] = &[
    "%",
    "% = 1",
    "\"%\" = 1",
    "[%]",
    "[\"%\"]\nx = 1",
    "[services.%]\ncommand = \"a\"",
    "[services.\"%\"]\ncommand = 1",
    "[services.a]\ncommand = \"%\"",
    "[services.a]\ncommand = %",
    "[services.a]\ncommand = \"serve --key %\"",
    "[services.a]\ncommand = \"serve '%\"",
    "[services.a]\ncommand = [\"serve\", \"--key=%\"]",
    "[services.a]\ncommand = [\"serve\", { key = \"%\" }]",
    "[services.a]\ncommand = \"a\"\n% = 1",
    "[services.a]\ncommand = \"a\"\nkind = \"%\"",
    "[services.a]\ncommand = \"a\"\ncwd = \"%\"",
    "[services.a]\ncommand = \"a\"\nenv_file = \"%\"",
    "[services.a]\ncommand = \"a\"\nenv = \"%\"",
    "[services.a]\ncommand = \"a\"\nenv = { A = \"%\" }",
    "[services.a]\ncommand = \"a\"\nenv = { A = [\"%\"] }",
    "[services.a]\ncommand = \"a\"\nenv = { A = % }",
    "[services.a]\ncommand = \"a\"\nenv = { \"%\" = \"a\" }",
    "[services.a]\ncommand = \"a\"\nenv.API_KEY = \"\"\"\n%\"\"\"",
    "[services.a]\ncommand = \"a\"\ndepends_on = [\"%\"]",
    "[services.a]\ncommand = \"a\"\nreplicas = \"%\"",
    "[services.a]\ncommand = \"a\"\nlisten = \"%\"",
    "[services.a]\ncommand = \"a\"\nready = \"%\"",
    "[services.a]\ncommand = \"a\"\nready = { http = \"%\" }",
    "[services.a]\ncommand = \"a\"\nready = { tcp = \"%\" }",
    "[services.a]\ncommand = \"a\"\nready = { exec = \"%\" }",
    "[services.a]\ncommand = \"a\"\nready = { postgres = \"%\" }",
    "[services.a]\ncommand = \"a\"\nready = { log = \"%\" }",
    "[services.a]\ncommand = \"a\"\nready = { % = 1 }",
    "[services.a]\ncommand = \"a\"\nstart_timeout = \"%\"",
    "[services.a]\ncommand = \"a\"\nrestart = \"%\"",
    "[services.a]\ncommand = \"a\"\nstop = { signal = \"%\", grace = \"%\" }",
    "[services.a]\ncommand = \"a\"\nlimits = { memory = \"%\", action = \"%\" }",
    "[services.a]\ncommand = \"a\"\nautostart = \"%\"",
    "[services.a]\nkind = \"ollama\"\nmodels = [\"%\"]",
    "[services.a]\nkind = \"url\"\nurl = \"%\"",
    "[services.a]\nkind = \"postgres\"\ndatabase = \"%\"",
    "[services.a]\nkind = \"supabase\"\nproject = \"%\"",
    "[cockpit]\nlisten = \"%\"\nallowed_hosts = [\"%\"]\nlog_level = \"%\"\nkeep_awake = \"%\"",
    "[providers.a]\nkind = \"openai\"\napi_key = \"%\"",
    "[providers.a]\nkind = \"openai\"\napi_key = %",
    "[providers.a]\nkind = \"openai\"\napi_key = [\"%\"]",
    "[providers.a]\nkind = \"openai\"\napi_key = { env = \"%\" }",
    "[providers.a]\nkind = \"openai\"\napi_key = { file = \"%\" }",
    "[providers.a]\nkind = \"openai\"\napi_key = { % = 1 }",
    "[providers.a]\nkind = \"openai\"\nbase_url = \"%\"",
    "[providers.%]\nkind = \"openai\"",
    "[keys.a]\nsecret = \"%\"",
    "[keys.%]\nsecret = 1",
    "[keys.a]\nlimits = { models = [\"%\"] }",
    "[routes.a]\ntargets = [\"%\"]",
    "[budgets]\nmonthly_usd = \"%\"",
    "[alerts.slack]\nwebhook = \"%\"",
    "[alerts.pagerduty]\nrouting_key = \"%\"",
    "[incidents]\nresolve_after = \"%\"",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_secret_is_never_echoed(tail in "[a-zA-Z0-9]{20}") {
        let secrets = [
            format!("sk-{tail}"),
            format!("ghp_{tail}"),
            format!("xoxb-{tail}"),
            format!("postgres://app:{tail}@127.0.0.1/app"),
        ];
        for (place, secret) in PLACES.iter().flat_map(|p| secrets.iter().map(move |s| (p, s))) {
            let text = place.replace('%', secret);
            let remarks = match common::read(&text) {
                Ok(config) => {
                    prop_assert!(!plan(&config).contains(&tail), "{text}");
                    config.warnings
                }
                Err(errors) => errors,
            };
            prop_assert!(!remarks.is_empty(), "accepted: {text}");
            for remark in remarks {
                prop_assert!(!remark.to_string().contains(&tail), "{text}\n{remark}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_judged(text in any::<String>()) {
        judge(&text);
    }

    #[test]
    fn toml_like_text_is_judged(text in "[\\[\\]a-c.=\" \n{},0-9é\u{0}\r#']{0,80}") {
        judge(&text);
    }

    #[test]
    fn likely_files_are_judged(lines in prop::collection::vec(line(), 0..24)) {
        // TOML refuses a key twice; dropping the repetition gets deeper.
        let mut seen = std::collections::HashSet::new();
        let mut section = String::new();
        let mut text = String::new();
        for line in lines {
            if line.starts_with('[') {
                section.clone_from(&line);
                if !seen.insert(line.clone()) {
                    continue;
                }
            } else {
                let key = line.split(' ').next().unwrap_or("");
                if !seen.insert(format!("{section}{key}")) {
                    continue;
                }
            }
            text.push_str(&line);
            text.push('\n');
        }
        judge(&text);
    }

    #[test]
    fn durations_survive_writing(millis in 0u64..31_536_000_000) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn sizes_survive_writing(bytes in 0u64..(1 << 62)) {
        prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
    }

    #[test]
    fn units_never_panic(text in any::<String>(), number in "[0-9]{0,25}", unit in "[a-zA-Z.é ]{0,4}") {
        let _ = parse_duration(&text);
        let _ = parse_size(&text);
        let both = format!("{number}{unit}");
        let _ = parse_duration(&both);
        let _ = parse_size(&both);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Dependencies drawn at random: accepted exactly if there is no circle, and then in order.
    #[test]
    fn dependencies_are_judged(edges in prop::collection::vec((0usize..6, 0usize..6), 0..10)) {
        let mut text = String::new();
        for at in 0..6 {
            let mut needs: Vec<String> =
                edges.iter().filter(|(from, _)| *from == at).map(|(_, to)| format!("\"s{to}\"")).collect();
            needs.sort();
            needs.dedup();
            text.push_str(&format!(
                "[services.s{at}]\ncommand = [\"a\"]\ndepends_on = [{}]\n",
                needs.join(", ")
            ));
        }
        // Reachability by repeated steps.
        let mut reach = [[false; 6]; 6];
        for (from, to) in &edges {
            reach[*from][*to] = true;
        }
        for via in 0..6 {
            for from in 0..6 {
                for to in 0..6 {
                    reach[from][to] |= reach[from][via] && reach[via][to];
                }
            }
        }
        let circular = (0..6).any(|at| reach[at][at]);
        match common::read(&text) {
            Ok(config) => {
                prop_assert!(!circular);
                let order = start_order(&config.services);
                let place = |at: usize| order.iter().position(|o| *o == at).unwrap();
                for (from, to) in &edges {
                    prop_assert!(place(*to) < place(*from));
                }
            }
            Err(errors) => {
                prop_assert!(circular);
                prop_assert!(errors.iter().all(|e| e.message.contains("circle")));
            }
        }
    }
}

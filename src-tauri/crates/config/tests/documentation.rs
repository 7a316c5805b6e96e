//! docs/configuration.md tells the truth: its examples hold and it names every key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod common;

fn documentation() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../docs/configuration.md"
    );
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn its_examples_hold() {
    let text = documentation();
    let mut blocks = 0;
    for block in text.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if let Err(errors) = common::read(block) {
            panic!("{errors:?}");
        }
        blocks += 1;
    }
    assert!(blocks >= 2);
}

#[test]
fn it_names_every_key() {
    let text = documentation();
    // An unknown key far from all others is answered with the known ones.
    let sections = [
        ("", "qqqqqqqqqqqqq = {}"),
        ("cockpit", "[cockpit]\nqqqqqqqqqqqqq = 1"),
        (
            "service",
            "[services.a]\ncommand = \"a\"\nqqqqqqqqqqqqq = 1",
        ),
        (
            "probe",
            "[services.a]\ncommand = \"a\"\nready = { log = \"a\", qqqqqqqqqqqqq = 1 }",
        ),
        (
            "restart",
            "[services.a]\ncommand = \"a\"\nrestart = { qqqqqqqqqqqqq = 1 }",
        ),
        (
            "stop",
            "[services.a]\ncommand = \"a\"\nstop = { qqqqqqqqqqqqq = 1 }",
        ),
        (
            "limits",
            "[services.a]\ncommand = \"a\"\nlimits = { qqqqqqqqqqqqq = 1 }",
        ),
        (
            "logs",
            "[services.a]\ncommand = \"a\"\nlogs = { qqqqqqqqqqqqq = 1 }",
        ),
        (
            "kind",
            "[services.a]\ncommand = \"a\"\nkind = \"qqqqqqqqqqqqq\"",
        ),
        ("gateway", "[gateway]\nqqqqqqqqqqqqq = 1"),
        ("otlp", "[otlp]\nqqqqqqqqqqqqq = 1"),
        ("prices", "[prices]\nqqqqqqqqqqqqq = 1"),
        (
            "provider",
            "[providers.a]\nkind = \"openai\"\nqqqqqqqqqqqqq = 1",
        ),
        ("key", "[keys.a]\nqqqqqqqqqqqqq = 1"),
        ("key limits", "[keys.a.limits]\nqqqqqqqqqqqqq = 1"),
        (
            "route",
            "[providers.a]\nkind = \"openai\"\n[routes.a]\ntargets = [\"a/b\"]\nqqqqqqqqqqqqq = 1",
        ),
        (
            "queue",
            "[providers.a]\nkind = \"openai\"\nqueue = { qqqqqqqqqqqqq = 1 }",
        ),
        ("cache", "[gateway]\ncache = { qqqqqqqqqqqqq = 1 }"),
        ("limits", "[limits]\nqqqqqqqqqqqqq = 1"),
        ("user limits", "[limits.user]\nqqqqqqqqqqqqq = 1"),
        ("budgets", "[budgets]\nqqqqqqqqqqqqq = 1"),
        ("alerts", "[alerts]\nqqqqqqqqqqqqq = 1"),
        ("slack", "[alerts.slack]\nqqqqqqqqqqqqq = 1"),
        ("pagerduty", "[alerts.pagerduty]\nqqqqqqqqqqqqq = 1"),
        ("incidents", "[incidents]\nqqqqqqqqqqqqq = 1"),
    ];
    let mut missing = Vec::new();
    for (section, toml) in sections {
        let errors = common::read(toml).unwrap_err();
        assert_eq!(errors.len(), 1, "{section}: {errors:?}");
        let error = errors.first().unwrap();
        let list = error.suggestion.as_deref().unwrap();
        let (_, keys) = list.split_once(": ").expect(list);
        for key in keys.split(", ") {
            let named = if section.is_empty() {
                text.contains(&format!("[{key}"))
            } else {
                text.contains(&format!("`{key}`"))
            };
            if !named {
                missing.push(format!("{section}: {key}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
}

#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

fn usage(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        output,
        ..Tokens::default()
    }
}

/// What a call costs by the bundled table, in picodollars.
fn pico(provider: &str, model: &str, tokens: &Tokens) -> Option<i64> {
    PriceTable::bundled()
        .cost(provider, model, tokens)
        .map(Usd::pico)
}

/// A table of one model, with the fields of it.
fn table(fields: &str) -> PriceTable {
    let json = format!(
        r#"{{"sample_spec": {{"mode": "one of: chat", "input_cost_per_token": 0.0}},
            "m": {{"litellm_provider": "openai", "mode": "chat", {fields}}}}}"#
    );
    PriceTable::parse(json.as_bytes(), "test").unwrap()
}

#[test]
fn the_bundled_table_is_whole() {
    let table = PriceTable::bundled();
    assert!(table.len() > 700, "{}", table.len());
    assert!(
        table.version().starts_with("litellm-1."),
        "{}",
        table.version()
    );
    for vendor in [
        "openai",
        "anthropic",
        "gemini",
        "mistral",
        "groq",
        "deepseek",
        "xai",
        "cohere",
    ] {
        assert!(!table.models.get(vendor).unwrap().is_empty(), "{vendor}");
    }
    let of = |model: &str| model.len() + size_of::<(Box<str>, Price)>() + 1;
    let bytes: usize = table
        .models
        .values()
        .flatten()
        .map(|(model, _)| of(model))
        .sum();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

#[test]
fn cached_tokens_are_part_of_the_input_and_cheaper() {
    // gpt-4o: 2.50, cached 1.25, out 10 dollars per million.
    let tokens = Tokens {
        input: 1000,
        cached_read: 400,
        output: 500,
        ..Tokens::default()
    };
    let expected = 600 * 2_500_000 + 400 * 1_250_000 + 500 * 10_000_000;
    assert_eq!(pico("openai", "gpt-4o", &tokens), Some(expected));
}

#[test]
fn cache_writes_cost_by_how_long_they_last() {
    // claude-sonnet-4-5: 3, out 15, read 0.30, write 3.75, for an hour 6.
    let tokens = Tokens {
        input: 10_000,
        cached_read: 5_000,
        cache_write: 1_000,
        cache_write_1h: 2_000,
        output: 100,
    };
    let expected = 2_000 * 3_000_000
        + 5_000 * 300_000
        + 1_000 * 3_750_000
        + 2_000 * 6_000_000
        + 100 * 15_000_000;
    assert_eq!(
        pico("anthropic", "claude-sonnet-4-5", &tokens),
        Some(expected)
    );
}

#[test]
fn a_tier_is_a_cliff_strictly_above() {
    // gemini-2.5-pro: 1.25/10, above 200k 2.50/15.
    let at = 200_000 * 1_250_000 + 10 * 10_000_000;
    let above = 200_001 * 2_500_000 + 10 * 15_000_000;
    let model = "gemini-2.5-pro";
    assert_eq!(pico("gemini", model, &usage(200_000, 10)), Some(at));
    assert_eq!(pico("gemini", model, &usage(200_001, 10)), Some(above));
}

#[test]
fn the_highest_tier_that_is_exceeded_counts() {
    let table = table(
        r#""input_cost_per_token": 1e-6, "output_cost_per_token": 0,
           "input_cost_per_token_above_256k_tokens": 3e-6, "input_cost_per_token_above_32k_tokens": 2e-6"#,
    );
    for (input, rate) in [(32_000, 1), (32_001, 2), (256_000, 2), (256_001, 3)] {
        let cost = table.cost("openai", "m", &usage(input, 0)).unwrap();
        assert_eq!(
            cost,
            Usd::from_pico(input as i64 * rate * 1_000_000),
            "{input}"
        );
    }
}

#[test]
fn what_a_cache_costs_is_what_input_costs_unless_listed() {
    let all = Tokens {
        input: 300_000,
        cached_read: 100_000,
        cache_write: 100_000,
        cache_write_1h: 100_000,
        output: 0,
    };
    let plain = r#""input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6"#;
    let tier = r#""input_cost_per_token_above_200k_tokens": 4e-6"#;
    let writes = r#""cache_creation_input_token_cost": 5e-6"#;
    for (fields, dollars) in [
        (plain.to_owned(), 0.3),
        (format!("{plain}, {tier}"), 1.2),
        // The tier lists no writes: those listed below it count, also for an hour.
        (format!("{plain}, {tier}, {writes}"), 0.4 + 0.5 + 0.5),
    ] {
        let cost = table(&fields).cost("openai", "m", &all);
        assert_eq!(cost, Usd::from_dollars(dollars), "{fields}");
    }
}

#[test]
fn tokens_that_do_not_add_up_are_still_priced() {
    let tokens = Tokens {
        input: 10,
        cached_read: 20,
        ..Tokens::default()
    };
    assert_eq!(pico("openai", "gpt-4o", &tokens), Some(20 * 1_250_000));
    assert_eq!(pico("openai", "gpt-4o", &usage(u64::MAX, u64::MAX)), None);
}

#[test]
fn a_model_is_found_by_its_other_names() {
    let tokens = usage(1, 1);
    for (provider, model, listed) in [
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("OpenAI", " GPT-4o ", "gpt-4o"),
        // Listed with a price of its own.
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-2027-01-31", "gpt-4o"),
        (
            "openai",
            "ft:gpt-4o-2024-08-06:acme::7p4lURel",
            "ft:gpt-4o-2024-08-06",
        ),
        (
            "anthropic",
            "claude-sonnet-4-5-20991231",
            "claude-sonnet-4-5",
        ),
        (
            "anthropic",
            "claude-sonnet-4-5@20991231",
            "claude-sonnet-4-5",
        ),
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gcp.gemini", "gemini/gemini-2.5-pro", "gemini-2.5-pro"),
        ("groq", "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("groq", "groq/openai/gpt-oss-120b", "openai/gpt-oss-120b"),
    ] {
        let vendor = vendor(&provider.to_lowercase()).to_owned();
        let models = PriceTable::bundled().models.get(&*vendor).unwrap();
        let expected = models.get(listed).unwrap().cost(&tokens);
        assert!(expected.is_some_and(|cost| cost > Usd::ZERO));
        let found = PriceTable::bundled().cost(provider, model, &tokens);
        assert_eq!(found, expected, "{provider} {model}");
    }
    assert_ne!(
        pico("openai", "gpt-4o-2024-05-13", &tokens),
        pico("openai", "gpt-4o", &tokens)
    );
}

#[test]
fn what_is_not_known_has_no_price() {
    for (provider, model) in [
        ("openai", "gpt-99"),
        ("openai", "gpt-4o-next"),
        ("openai", "gpt-4o-2024-13-06"),
        ("openai", "gpt-4o-20241301"),
        ("openai", "gpt-4o-1234567"),
        ("openai", "ft:gpt-99:acme::x"),
        ("openai", ""),
        ("", "gpt-4o"),
        ("somebody", "gpt-4o"),
        ("anthropic", "gpt-4o"),
        // Answers in sound, at other prices.
        ("openai", "gpt-audio"),
        // Listed as free.
        ("gemini", "gemini-exp-1114"),
        ("ollama", "gpt-oss:120b-cloud"),
    ] {
        assert_eq!(
            pico(provider, model, &usage(1000, 10)),
            None,
            "{provider} {model}"
        );
    }
}

#[test]
fn what_runs_here_costs_nothing_and_that_is_known() {
    assert_eq!(pico("ollama", "llama3.2:1b", &usage(1000, 1000)), Some(0));
}

#[test]
fn embeddings_have_no_output() {
    let cost = pico("openai", "text-embedding-3-small", &usage(1_000_000, 0));
    assert_eq!(cost, Some(20_000_000_000));
}

#[test]
fn a_table_that_shrank_by_half_is_refused() {
    let entry = |n: usize| {
        format!(
            r#""m{n}": {{"litellm_provider": "openai", "mode": "chat",
                "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}"#
        )
    };
    let json = |count| {
        format!(
            "{{{}}}",
            (0..count).map(entry).collect::<Vec<_>>().join(",")
        )
    };
    let old = PriceTable::parse(json(10).as_bytes(), "old").unwrap();
    let refused = old.refreshed(json(5).as_bytes(), "new").unwrap_err();
    assert!(matches!(
        refused,
        RefreshError::Shrunk {
            before: 10,
            after: 5
        }
    ));
    assert!(matches!(
        old.refreshed(b"<html>", "new"),
        Err(RefreshError::NoTable(_))
    ));

    let new = old.refreshed(json(6).as_bytes(), "new").unwrap();
    assert_eq!(new.len(), 6);
    assert_eq!(new.version(), "new");
}

#[test]
fn strange_entries_are_passed_over() {
    let table = PriceTable::parse(
        br#"{
            "a": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": "1e-6", "output_cost_per_token": 1e-6},
            "b": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": -1, "output_cost_per_token": 1e-6},
            "c": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6},
            "d": {"litellm_provider": null, "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6},
            "e": {"litellm_provider": "openai", "mode": "chat", "search_context_cost_per_query": {"a": [1, null]},
                  "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "extra": [{}]}
        }"#,
        "test",
    )
    .unwrap();
    assert_eq!(table.len(), 1);
    assert!(table.find("openai", "e").is_some());
    assert!(!table.is_empty());
    for broken in [&b"{}x"[..], b"[]", b"", br#"{"a": 1}"#] {
        assert!(PriceTable::parse(broken, "test").is_err());
    }
}

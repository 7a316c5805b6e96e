//! Keys that are made here, and how they are used.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod common;

use cockpit_gateway::{KeyHash, KeyUse, hash, is_made_here, new_key};
use cockpit_model::traffic::{KeySpec, Limits, SecretPlace, TrafficSpec};
use cockpit_model::{EventBody, ReportKind, Timestamp, Usd};
use cockpit_resilience::access::{Profile, Settings, Visit};
use cockpit_resilience::budget::Each;
use common::*;
use serde_json::Value;

fn named(name: &str, limits: Limits) -> KeySpec {
    KeySpec {
        name: name.to_owned(),
        secret: None,
        limits,
    }
}

fn made(name: &str, key: &str) -> (KeySpec, KeyHash) {
    (named(name, Limits::default()), hash(key))
}

async fn status(rig: &Rig, key: &str) -> u16 {
    let bearer = format!("Bearer {key}");
    let answer = rig
        .post_with(
            "/v1/chat/completions",
            &chat("openai/gpt-4o"),
            &[("authorization", &bearer)],
        )
        .await;
    answer.status().as_u16()
}

/// Vendors with keys of their own: ours are not shown to them.
async fn one_vendor() -> TrafficSpec {
    let doubles = Doubles::start().await;
    let mut providers = doubles.providers();
    for provider in &mut providers {
        provider.api_key = Some(SecretPlace::Env("VENDOR_KEY".to_owned()));
    }
    spec(providers, Vec::new())
}

#[tokio::test]
async fn a_key_opens_from_the_moment_it_is_made_until_it_is_removed() {
    let rig = Rig::new(one_vendor().await).await;
    let (app, other) = (new_key(), new_key());
    assert!(is_made_here(&app));
    // Without any key nobody needs one; but one that was made by a cockpit and is not known is no key, and must
    // not be shown to a vendor.
    assert_eq!(status(&rig, "sk-callers-own").await, 200);
    rig.call().await;
    assert_eq!(status(&rig, &app).await, 401);
    let finding = rig.finding().await;
    assert_eq!((finding.kind, finding.ok), (ReportKind::Auth, Some(false)));

    rig.gateway
        .set_keys(vec![made("app", &app), made("other", &other)])
        .await;
    assert_eq!(status(&rig, "sk-callers-own").await, 401);
    assert_eq!(status(&rig, &app).await, 200);
    assert_eq!(rig.call().await.key.as_deref(), Some("app"));
    rig.gateway.set_keys(vec![made("other", &other)]).await;
    assert_eq!(status(&rig, &app).await, 401);
    assert_eq!(status(&rig, &other).await, 200);
    assert_eq!(rig.call().await.key.as_deref(), Some("other"));
    rig.gateway.set_keys(Vec::new()).await;
    assert_eq!(status(&rig, &other).await, 401);
    // Whoever was not let in made no call.
    rig.no_call().await;
    let used = rig.gateway.keys_last_used();
    assert!(used.is_empty(), "keys that are no more: {used:?}");
}

#[tokio::test]
async fn a_key_of_the_configuration_takes_the_one_made_for_it() {
    let mut spec = one_vendor().await;
    let limits = Limits {
        models: Some(vec!["nothing".to_owned()]),
        ..Limits::default()
    };
    spec.keys = vec![named("app", limits)];
    let rig = Rig::new(spec.clone()).await;
    let trouble = rig.gateway.trouble();
    assert!(trouble[0].contains("key add app"), "{trouble:?}");
    let key = new_key();
    rig.gateway.set_keys(vec![made("app", &key)]).await;
    assert!(rig.gateway.trouble().is_empty());
    // What is written limits it, whatever it was made with.
    assert_eq!(status(&rig, &key).await, 403);
    spec.keys = vec![named("app", Limits::default())];
    rig.gateway.apply(spec.clone()).await;
    assert_eq!(status(&rig, &key).await, 200);
    // With a secret of its own in the configuration, that is the key.
    spec.keys[0].secret = Some(SecretPlace::Env("APP_KEY".to_owned()));
    rig.gateway.apply(spec).await;
    assert_eq!(status(&rig, &key).await, 401);
    assert_eq!(status(&rig, "secret of APP_KEY").await, 200);
    assert!(rig.gateway.trouble()[0].contains("`app`"));
}

/// A key's past: every hour of ten days, from this machine.
fn long_past(name: &str) -> KeyUse {
    let now = Timestamp::now();
    let back = |hours: i64| Timestamp::from_second(now.as_second() - hours * 3600).unwrap();
    let mut profile = Profile::new(back(240));
    for hours in (1..240).rev() {
        let visit = Visit {
            at: back(hours),
            hour: ((240 - hours) % 24) as u8,
            from: "127.0.0.1",
        };
        assert_eq!(profile.visit(&visit, &Settings::default()), []);
    }
    KeyUse {
        name: name.to_owned(),
        last_used_at: back(1),
        profile: serde_json::to_string(&profile).unwrap(),
    }
}

#[tokio::test]
async fn a_key_that_is_used_from_elsewhere_is_told_of() {
    let key = new_key();
    let past = long_past("app");
    let rig = Rig::with(
        one_vendor().await,
        Given {
            keys: vec![made("app", &key)],
            key_uses: vec![past.clone()],
            ..Given::default()
        },
    )
    .await;
    let bearer = format!("Bearer {key}");
    assert_eq!(status(&rig, &key).await, 200);
    // By the tunnel: what its end wrote last is true; what came before it, and other headers, anybody may write.
    let forwarded = [
        ("authorization", bearer.as_str()),
        ("host", "studio.ts.net"),
        ("x-forwarded-for", "127.0.0.1, 203.0.113.7"),
        ("cf-connecting-ip", "127.0.0.1"),
    ];
    let answer = rig
        .post_with("/v1/chat/completions", &chat("openai/gpt-4o"), &forwarded)
        .await;
    assert_eq!(answer.status(), 200);
    let finding = rig.finding().await;
    let body: Value = serde_json::from_str(&finding.body).unwrap();
    assert_eq!(body["what"], "unusual_address");
    assert_eq!(
        (finding.kind, finding.key.as_deref()),
        (ReportKind::Auth, Some("app"))
    );
    let events = rig.events.0.lock().unwrap().clone();
    let told = events.iter().find_map(|event| match event {
        EventBody::Access {
            key, from, usual, ..
        } => Some((key.clone(), from.clone(), usual.clone())),
        _ => None,
    });
    assert_eq!(
        told.unwrap(),
        ("app".into(), "203.0.113.7".into(), "127.0.0.1".into())
    );
    // It is remembered, for the next start.
    let uses = rig.gateway.key_uses();
    assert_eq!(uses.len(), 1);
    assert!(uses[0].last_used_at > past.last_used_at);
    assert!(uses[0].profile.contains("203.0.113.7"));
    assert!(rig.gateway.key_uses().is_empty());
    rig.gateway.key_uses_not_written(&uses);
    assert_eq!(rig.gateway.key_uses().len(), 1);
}

#[tokio::test]
async fn who_is_not_let_in_by_the_tunnel_is_told_by_their_own_address() {
    let rig = Rig::new(one_vendor().await).await;
    let forwarded = [
        ("authorization", "Bearer wrong"),
        ("host", "studio.ts.net"),
        ("cf-connecting-ip", "203.0.113.7"),
    ];
    let answer = rig
        .post_with("/v1/chat/completions", &chat("openai/gpt-4o"), &forwarded)
        .await;
    assert_eq!(answer.status(), 401);
    let finding = rig.finding().await;
    let body: Value = serde_json::from_str(&finding.body).unwrap();
    assert_eq!(body["from"], serde_json::json!(["203.0.113.7"]));
}

#[tokio::test]
async fn our_refusals_say_what_is_left_and_when_to_come_again() {
    let mut spec = one_vendor().await;
    spec.limits.user = Limits {
        requests_per_minute: Some(1),
        usd_per_month: Usd::from_dollars(0.000_001),
        ..Limits::default()
    };
    let rig = Rig::new(spec).await;
    let ask = |user: &'static str| {
        let body = chat("openai/gpt-4o");
        let rig = &rig;
        async move {
            rig.post_with(
                "/v1/chat/completions",
                &body,
                &[("authorization", "Bearer x"), ("x-cockpit-user", user)],
            )
            .await
        }
    };
    assert_eq!(ask("ada").await.status(), 200);
    let limited = ask("ada").await;
    assert_eq!(limited.status(), 402, "what is dearer is told first");
    assert_eq!(header(&limited, "x-ratelimit-limit-requests"), Some("1"));
    assert_eq!(
        header(&limited, "x-ratelimit-remaining-requests"),
        Some("0")
    );
    assert_eq!(header(&limited, "x-should-retry"), Some("false"));

    let mut spec = one_vendor().await;
    spec.limits.user = Limits {
        requests_per_minute: Some(1),
        ..Limits::default()
    };
    rig.gateway.apply(spec).await;
    assert_eq!(ask("bob").await.status(), 200);
    let limited = ask("bob").await;
    assert_eq!(limited.status(), 429);
    assert_eq!(
        header(&limited, "x-ratelimit-remaining-requests"),
        Some("0")
    );
    let number = |name: &str| header(&limited, name).unwrap().parse::<u64>().unwrap();
    let (seconds, millis) = (number("retry-after"), number("retry-after-ms"));
    assert!(seconds <= 60 && millis <= 60_000 && seconds * 1000 >= millis);
    assert_eq!(header(&limited, "x-should-retry"), None);
}

#[tokio::test]
async fn what_was_spent_before_counts_on_and_idle_spenders_are_not_forgiven() {
    let mut spec = one_vendor().await;
    spec.limits.user = Limits {
        usd_per_day: Usd::from_dollars(1.0),
        ..Limits::default()
    };
    spec.limits.agent = spec.limits.user.clone();
    let dollar = Usd::from_dollars(1.0).unwrap();
    let spent = Each {
        day: dollar,
        month: dollar,
    };
    let user = |name: &str| cockpit_gateway::Who::User(name.to_owned());
    let rig = Rig::with(
        spec.clone(),
        Given {
            spent: vec![(user("ada"), spent)],
            ..Given::default()
        },
    )
    .await;
    let ask = |name: &'static str, who: &'static str| {
        let rig = &rig;
        async move {
            let headers = [("authorization", "Bearer x"), (name, who)];
            let body = chat("openai/gpt-4o");
            let answer = rig.post_with("/v1/chat/completions", &body, &headers).await;
            answer.status().as_u16()
        }
    };
    assert_eq!(ask("x-cockpit-user", "ada").await, 402);
    assert_eq!(ask("x-cockpit-user", "bob").await, 200);
    assert_eq!(
        ask("x-cockpit-agent", "ada").await,
        200,
        "an agent is no user"
    );
    // Whoever is known already keeps what is known; another's past comes in.
    rig.gateway
        .restore(vec![(user("bob"), Each::default()), (user("eve"), spent)]);
    assert_eq!(ask("x-cockpit-user", "eve").await, 402);
    assert_eq!(ask("x-cockpit-user", "ada").await, 402);
    let budgets = rig.gateway.view().budgets;
    let full = budgets
        .iter()
        .find(|one| one.whose == "the user `ada`")
        .unwrap();
    assert_eq!(full.spent_usd, dollar);
    let bob = budgets
        .iter()
        .find(|one| one.whose == "the user `bob`")
        .unwrap();
    assert!(bob.spent_usd > Usd::ZERO && bob.reserved_usd == Usd::ZERO);
}

//! What is asked next, when, and what goes wrong meanwhile. Pure: chance and time are passed in.

use std::f64::consts::PI;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::words::pick;

/// How long a day of the demo is.
const DAY: Duration = Duration::from_secs(12 * 60);
/// Requests a second in the quiet of its night.
const NIGHT: f64 = 0.12;
/// And at its noon.
const NOON: f64 = 0.9;
/// How often something goes wrong with a provider.
const TROUBLE_EVERY: Duration = Duration::from_secs(150);

const USERS: [&str; 9] = [
    "ada",
    "grace",
    "edsger",
    "barbara",
    "donald",
    "margaret",
    "alan",
    "katherine",
    "linus",
];
/// An agent, what it asks for, and how often: parts of a hundred.
const AGENTS: [(&str, &str, u32); 5] = [
    ("support", "chat", 42),
    ("research", "writer", 22),
    ("triage", "ollama/llama3.2", 20),
    ("search", "openai/text-embedding-3-small", 12),
    ("nightly", "anthropic/claude-haiku-4-5", 4),
];
const QUESTIONS: [&str; 8] = [
    "A customer asks where the invoice of last month is. What do I answer?",
    "Summarise what was decided in the meeting about the new warehouse.",
    "Which of these three tickets is urgent, and why?",
    "Write two friendly sentences for somebody whose parcel is late.",
    "What are the risks of moving our database on a Friday?",
    "Translate into plain English: the instrument is to be recalibrated biannually.",
    "Is this review about the product or about the delivery?",
    "Name three questions to ask before we sign this contract.",
];

/// A request to a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    /// The gateway's path.
    pub(super) path: &'static str,
    pub(super) body: Value,
    pub(super) user: &'static str,
    pub(super) agent: &'static str,
    /// Whether its caller goes away in the middle of the answer.
    pub(super) gives_up: bool,
}

/// How many requests a second come in, so long after the beginning.
pub(super) fn rate(since: Duration) -> f64 {
    let hour = since.as_secs_f64() / DAY.as_secs_f64();
    // It begins in the morning, so that there is something to see.
    NIGHT + (NOON - NIGHT) * (PI * (hour + 0.25)).sin().powi(2)
}

/// The time until the next request: as strangers come, now two at once and now none for a while.
pub(super) fn pause(rng: &mut StdRng, since: Duration) -> Duration {
    let chance: f64 = rng.random_range(0.001..1.0);
    Duration::from_secs_f64((-chance.ln() / rate(since)).min(30.0))
}

/// The next request.
pub(super) fn ask(rng: &mut StdRng) -> Ask {
    let mut place = rng.random_range(0..100);
    let (agent, model) = AGENTS
        .iter()
        .find_map(|(agent, model, share)| {
            if place < *share {
                return Some((*agent, *model));
            }
            place -= share;
            None
        })
        .unwrap_or(("support", "chat"));
    // A few users are most of the traffic.
    let user = USERS
        .get(
            rng.random_range(0..USERS.len())
                .min(rng.random_range(0..USERS.len())),
        )
        .copied()
        .unwrap_or("ada");
    let question = pick(rng, &QUESTIONS);
    if agent == "search" {
        let body = json!({"model": model, "input": question});
        return Ask {
            path: "/v1/embeddings",
            body,
            user,
            agent,
            gives_up: false,
        };
    }
    // Somebody's typing error, now and then.
    let model = if rng.random_bool(0.008) {
        "chat-gpt"
    } else {
        model
    };
    let stream = rng.random_bool(0.6);
    let body = json!({
        "model": model,
        "stream": stream,
        "max_tokens": rng.random_range(12..70),
        "messages": [{"role": "user", "content": question}],
    });
    Ask {
        path: if ["research", "nightly"].contains(&agent) {
            "/v1/messages"
        } else {
            "/v1/chat/completions"
        },
        body,
        user,
        agent,
        gives_up: stream && rng.random_bool(0.03),
    }
}

/// What goes wrong with a provider.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    /// Which: `openai` or `anthropic`.
    pub(super) provider: &'static str,
    /// As its fault board takes it.
    pub(super) order: Value,
}

/// The time until the next trouble, and it.
pub(super) fn trouble(rng: &mut StdRng) -> (Duration, Trouble) {
    let wait = TROUBLE_EVERY.mul_f64(rng.random_range(0.4..1.6));
    let (provider, order) = match rng.random_range(0..4) {
        // Long enough for its breaker to open, and for a probe to fail.
        0 => (
            "openai",
            json!({"kind": "status", "status": 503, "for_ms": 45_000}),
        ),
        1 => (
            "openai",
            json!({"kind": "status", "status": 429, "retry_after_s": 2, "for_ms": 12_000}),
        ),
        2 => (
            "anthropic",
            json!({"kind": "status", "status": 529, "for_ms": 30_000}),
        ),
        _ => ("openai", json!({"kind": "midstream", "times": 3})),
    };
    (wait, Trouble { provider, order })
}

/// What an application tells of one task of an agent: how it ended and, of some, how it was liked.
pub(super) fn told(rng: &mut StdRng, number: u64, user: &str, agent: &str) -> Vec<Value> {
    let completed = rng.random_bool(0.91);
    let id = |what: &str| format!("demo-{what}-{number}");
    let mut events = vec![json!({
        "id": id("task"), "type": "task", "user": user, "agent": agent, "completed": completed,
    })];
    if rng.random_bool(0.3) {
        let rating = if completed {
            rng.random_range(3..=5)
        } else {
            rng.random_range(1..=3)
        };
        events.push(json!({
            "id": id("feedback"), "type": "feedback", "user": user, "agent": agent, "rating": rating,
        }));
    }
    events
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_day_has_a_noon_and_a_night_and_stays_modest() {
        let rates: Vec<f64> = (0..720)
            .map(|second| rate(Duration::from_secs(second)))
            .collect();
        let highest = rates.iter().copied().fold(0.0, f64::max);
        let lowest = rates.iter().copied().fold(f64::MAX, f64::min);
        assert!(
            (lowest - NIGHT).abs() < 0.01 && (highest - NOON).abs() < 0.01,
            "{lowest} {highest}"
        );
    }

    #[test]
    fn everybody_asks_for_everything_sooner_or_later() {
        let mut rng = crate::words::rng(1, "traffic");
        let asks: Vec<Ask> = (0..2000).map(|_| ask(&mut rng)).collect();
        let distinct = |of: fn(&Ask) -> &str| asks.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(|ask| ask.user), USERS.len());
        assert_eq!(distinct(|ask| ask.agent), AGENTS.len());
        assert_eq!(distinct(|ask| ask.path), 3);
        assert!(asks.iter().any(|ask| ask.gives_up));
        assert!(
            asks.iter()
                .all(|ask| !ask.gives_up || ask.body.get("stream") == Some(&Value::Bool(true)))
        );
    }
}

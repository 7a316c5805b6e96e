//! Personal data and secrets in prompts: told, replaced, or a reason to refuse, as a person wants.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cockpit_model::EventBody;
use cockpit_model::traffic::PiiMode;
use cockpit_pii::{Finds, Kind};
use tokio::time::Instant;

use crate::refusal::Refusal;

/// What was found in a prompt, and what is done about it.
pub(crate) struct Looked {
    /// What goes on instead of the body.
    pub(crate) redacted: Option<Bytes>,
    /// How often each kind was found.
    pub(crate) found: Vec<(Kind, usize)>,
    /// `observe`, `redact` or `block`.
    pub(crate) action: &'static str,
    /// Why it does not go on.
    pub(crate) refusal: Option<Refusal>,
}

/// Looks through a prompt; `None`: there is nothing to tell.
pub(crate) fn look(body: &Bytes, mode: PiiMode) -> Option<Looked> {
    let (redacted, finds, action) = match mode {
        PiiMode::Off => return None,
        PiiMode::Observe => (None, cockpit_pii::in_body(body), "observe"),
        PiiMode::Block => (None, cockpit_pii::in_body(body), "block"),
        PiiMode::Redact => {
            let (redacted, finds) = cockpit_pii::redact(body);
            (redacted, finds, "redact")
        }
    };
    let refusal = match mode {
        PiiMode::Block if !finds.is_empty() => Some(blocked(&finds)),
        // Half a prompt without personal data has personal data; and what is not looked through may hold any.
        PiiMode::Block | PiiMode::Redact if finds.more => Some(Refusal::new(
            "policy_pii",
            format!(
                "the prompt holds more than {} pieces of personal data or secrets, or is nested more than {} levels \
                 deep, which is more than is looked through; send it in parts, or flatter",
                cockpit_pii::MOST_FINDS,
                cockpit_pii::DEEPEST,
            ),
        )),
        _ => None,
    };
    if finds.is_empty() && refusal.is_none() {
        return None;
    }
    Some(Looked {
        redacted: redacted.map(Bytes::from),
        found: finds.counts(),
        action: if refusal.is_some() { "block" } else { action },
        refusal,
    })
}

/// Names what was found, and never the find.
fn blocked(finds: &Finds) -> Refusal {
    let kinds: Vec<&str> = finds
        .counts()
        .iter()
        .map(|(kind, _)| kind.as_str())
        .collect();
    Refusal::new(
        "policy_pii",
        format!(
            "the prompt holds what may not leave this machine: {}; take it out, or write something else in its place",
            kinds.join(", ")
        ),
    )
}

/// How often what was found is told: the first find at once, then those of a minute together.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What was told of finds, and what is still to be told.
pub(crate) struct News {
    origin: Instant,
    /// By what is done about them.
    sorts: Mutex<BTreeMap<&'static str, Sort>>,
}

#[derive(Debug, Default)]
struct Sort {
    told: Option<Duration>,
    /// Since then.
    calls: u64,
    found: BTreeMap<Kind, u64>,
    newest: String,
}

impl Default for News {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            sorts: Mutex::default(),
        }
    }
}

impl News {
    fn sorts(&self) -> MutexGuard<'_, BTreeMap<&'static str, Sort>> {
        self.sorts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was found in a call; what is to be told now.
    pub(crate) fn note(&self, call: &str, looked: &Looked) -> Option<EventBody> {
        let mut sorts = self.sorts();
        let sort = sorts.entry(looked.action).or_default();
        sort.calls += 1;
        for (kind, count) in &looked.found {
            *sort.found.entry(*kind).or_default() += *count as u64;
        }
        call.clone_into(&mut sort.newest);
        tell(looked.action, sort, self.origin.elapsed())
    }

    /// What is to be told of finds that nothing followed.
    pub(crate) fn due(&self) -> Vec<EventBody> {
        let now = self.origin.elapsed();
        let mut sorts = self.sorts();
        let sorts = sorts.iter_mut();
        sorts
            .filter_map(|(action, sort)| tell(action, sort, now))
            .collect()
    }
}

fn tell(action: &str, sort: &mut Sort, now: Duration) -> Option<EventBody> {
    let early = sort
        .told
        .is_some_and(|told| now.saturating_sub(told) < TELL_EVERY);
    if early || sort.calls == 0 {
        return None;
    }
    sort.told = Some(now);
    let found = std::mem::take(&mut sort.found);
    Some(EventBody::Pii {
        call: std::mem::take(&mut sort.newest),
        calls: std::mem::take(&mut sort.calls),
        found: found
            .iter()
            .map(|(kind, count)| format!("{} {count}", kind.as_str()))
            .collect(),
        action: action.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn body(text: &str) -> Bytes {
        Bytes::from(json!({"model": "m", "messages": [{"content": text}]}).to_string())
    }

    #[test]
    fn each_mode_does_what_it_says() {
        let held = body("I am ada@example.com, 4111 1111 1111 1111");
        assert!(look(&held, PiiMode::Off).is_none());
        assert!(look(&body("nothing"), PiiMode::Block).is_none());

        let observed = look(&held, PiiMode::Observe).unwrap();
        assert_eq!(observed.found, [(Kind::Email, 1), (Kind::Card, 1)]);
        assert!(observed.redacted.is_none() && observed.refusal.is_none());

        let redacted = look(&held, PiiMode::Redact).unwrap();
        assert_eq!(redacted.redacted.unwrap(), body("I am [EMAIL], [CARD]"));
        assert!(redacted.refusal.is_none());

        let refusal = look(&held, PiiMode::Block).unwrap().refusal.unwrap();
        assert_eq!((refusal.code, refusal.status.as_u16()), ("policy_pii", 403));
        assert!(refusal.message.contains("email, card") && !refusal.message.contains("ada"));

        let deep = format!(
            r#"{{"model": "m", "x": {}1{}, "messages": [{{"content": "nothing"}}]}}"#,
            "[".repeat(300),
            "]".repeat(300)
        );
        for mode in [PiiMode::Block, PiiMode::Redact] {
            let unseen = look(&Bytes::from(deep.clone()), mode).unwrap();
            assert_eq!(unseen.refusal.unwrap().code, "policy_pii");
            assert!(unseen.found.is_empty() && unseen.redacted.is_none());
        }
        assert!(look(&Bytes::from(deep), PiiMode::Observe).is_none());

        let flood = look(
            &body(&"a@b.com ".repeat(cockpit_pii::MOST_FINDS + 1)),
            PiiMode::Redact,
        )
        .unwrap();
        assert_eq!(
            (flood.refusal.unwrap().code, flood.action),
            ("policy_pii", "block")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_once_a_minute_and_in_full() {
        let news = News::default();
        let looked = look(&body("ada@example.com"), PiiMode::Observe).unwrap();
        let event = |call: &str, calls, found: &str| EventBody::Pii {
            call: call.to_owned(),
            calls,
            found: vec![found.to_owned()],
            action: "observe".to_owned(),
        };
        assert_eq!(news.note("1", &looked), Some(event("1", 1, "email 1")));
        for n in 2..100 {
            assert_eq!(news.note(&n.to_string(), &looked), None);
        }
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(news.due(), []);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(news.due(), [event("99", 98, "email 98")]);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(news.due(), []);
        assert_eq!(news.note("100", &looked), Some(event("100", 1, "email 1")));
    }
}

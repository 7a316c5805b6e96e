//! What of the reports a person sees in the list of events.
//!
//! Failed authentications, findings of personal data and applied rules are told at once; when more of a kind follow,
//! once a minute and in number, so that an attack or a loop floods no list. A deployment is a mark on the charts, up
//! to twenty in an hour. Everything is in the ledger in any case.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cockpit_model::{EventBody, Mark, Report, ReportKind, Timestamp};
use serde_json::Value;

/// After one was told, more of its kind are gathered for so long.
const GATHER: Duration = Duration::from_secs(60);
/// Marks in an hour.
const MOST_MARKS: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// The longest text that is shown of a report.
const LONGEST: usize = 120;

/// The kinds that are told.
const TOLD: [ReportKind; 3] = [ReportKind::Auth, ReportKind::Pii, ReportKind::Policy];

/// What is told, and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// When; `None`: now.
    pub at: Option<Timestamp>,
    /// What.
    pub body: EventBody,
}

/// What was told lately. Pure: the time is passed in.
#[derive(Debug, Default)]
pub struct Notices {
    gathering: [Gathering; TOLD.len()],
    marks: VecDeque<Instant>,
}

#[derive(Debug, Default)]
struct Gathering {
    until: Option<Instant>,
    count: u64,
    newest: Option<(Option<String>, Option<String>)>,
}

impl Notices {
    /// A report was kept: what is to be told of it now.
    pub fn kept(&mut self, report: &Report, now: Instant) -> Option<Notice> {
        if report.kind == ReportKind::Deploy {
            return self.mark(report, now);
        }
        if report.kind == ReportKind::Auth && report.ok == Some(true) {
            return None;
        }
        let place = TOLD.iter().position(|kind| *kind == report.kind)?;
        let gathering = self.gathering.get_mut(place)?;
        gathering.count += 1;
        gathering.newest = Some((report.user.as_deref().map(short), said(report)));
        if gathering.until.is_some_and(|until| now < until) {
            return None;
        }
        gathering.tell(report.kind, now)
    }

    /// What was gathered and is due.
    pub fn due(&mut self, now: Instant) -> Vec<Notice> {
        let due = |(gathering, kind): (&mut Gathering, ReportKind)| {
            if gathering.until.is_some_and(|until| now < until) {
                return None;
            }
            gathering.tell(kind, now)
        };
        self.gathering
            .iter_mut()
            .zip(TOLD)
            .filter_map(due)
            .collect()
    }

    fn mark(&mut self, report: &Report, now: Instant) -> Option<Notice> {
        while let Some(oldest) = self.marks.front()
            && now.duration_since(*oldest) >= HOUR
        {
            self.marks.pop_front();
        }
        if self.marks.len() >= MOST_MARKS {
            return None;
        }
        self.marks.push_back(now);
        let body = serde_json::from_str(&report.body).unwrap_or(Value::Null);
        let mark = Mark::Deploy {
            what: first_text(&body, &["service", "what", "name", "message"]),
            version: first_text(&body, &["version", "commit", "tag"]),
        };
        Some(Notice {
            at: Some(report.at),
            body: EventBody::Mark(mark),
        })
    }
}

impl Gathering {
    fn tell(&mut self, kind: ReportKind, now: Instant) -> Option<Notice> {
        let (user, said) = self.newest.take()?;
        self.until = Some(now + GATHER);
        Some(Notice {
            at: None,
            body: EventBody::Reported {
                kind: kind.as_str().to_owned(),
                count: std::mem::take(&mut self.count),
                user,
                said,
            },
        })
    }
}

/// What a report says of itself, in a line.
fn said(report: &Report) -> Option<String> {
    let body = serde_json::from_str(&report.body).ok()?;
    first_text(&body, &["message", "reason", "rule", "what", "found"])
}

fn first_text(body: &Value, names: &[&str]) -> Option<String> {
    let texts = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => {
            let texts: Vec<&str> = items.iter().take(8).filter_map(Value::as_str).collect();
            Some(texts.join(", "))
        }
        _ => None,
    };
    let found = names.iter().find_map(|name| body.get(name).and_then(texts));
    found
        .map(|text| short(&text))
        .filter(|text| !text.is_empty())
}

fn short(text: &str) -> String {
    text.trim().chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn report(kind: ReportKind, ok: Option<bool>, body: &str) -> Report {
        Report {
            id: "r".to_owned(),
            kind,
            at: Timestamp::UNIX_EPOCH,
            user: Some("ada".to_owned()),
            agent: None,
            key: None,
            ok,
            score: None,
            body: body.to_owned(),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_more_in_number() {
        let start = Instant::now();
        let mut notices = Notices::default();
        let failed = report(
            ReportKind::Auth,
            Some(false),
            r#"{"reason":"wrong password"}"#,
        );
        let told = |count| EventBody::Reported {
            kind: "auth".to_owned(),
            count,
            user: Some("ada".to_owned()),
            said: Some("wrong password".to_owned()),
        };
        assert_eq!(notices.kept(&failed, start).unwrap().body, told(1));
        for _ in 0..500 {
            assert_eq!(notices.kept(&failed, start), None);
        }
        // Another kind waits for nobody.
        let found = report(ReportKind::Pii, None, r#"{"found":["email","iban"]}"#);
        assert!(notices.kept(&found, start).is_some());
        assert_eq!(notices.due(start + GATHER / 2), []);
        let due = notices.due(start + GATHER);
        assert_eq!(due.len(), 1);
        assert_eq!(due.first().unwrap().body, told(500));
        assert_eq!(notices.due(start + GATHER * 3), []);
        assert_eq!(
            notices.kept(&failed, start + GATHER * 3).unwrap().body,
            told(1)
        );
    }

    #[test]
    fn a_success_is_no_news_and_a_deployment_is_a_mark() {
        let start = Instant::now();
        let mut notices = Notices::default();
        assert_eq!(
            notices.kept(&report(ReportKind::Auth, Some(true), "{}"), start),
            None
        );
        assert_eq!(
            notices.kept(&report(ReportKind::Custom, None, "{}"), start),
            None
        );
        let deploy = report(
            ReportKind::Deploy,
            None,
            r#"{"service":"api","version":"1.4.0"}"#,
        );
        let told = notices.kept(&deploy, start).unwrap();
        assert_eq!(told.at, Some(Timestamp::UNIX_EPOCH));
        let mark = Mark::Deploy {
            what: Some("api".to_owned()),
            version: Some("1.4.0".to_owned()),
        };
        assert_eq!(told.body, EventBody::Mark(mark));
        let more = (0..100).filter(|_| notices.kept(&deploy, start).is_some());
        assert_eq!(more.count(), MOST_MARKS - 1);
        assert!(notices.kept(&deploy, start + HOUR).is_some());
    }

    proptest! {
        /// Whatever comes whenever: each is told once, and no more than two a minute and kind.
        #[test]
        fn nothing_floods_and_nothing_is_left_out(gaps in proptest::collection::vec(0u64..90, 0..200)) {
            let start = Instant::now();
            let mut notices = Notices::default();
            let failed = report(ReportKind::Auth, None, "{}");
            let count = |notice: &Notice| match &notice.body {
                EventBody::Reported { count, .. } => *count,
                _ => 0,
            };
            let (mut at, mut told, mut events) = (0, 0, 0);
            for gap in &gaps {
                at += gap;
                let now = start + Duration::from_secs(at);
                for notice in notices.due(now).iter().chain(&notices.kept(&failed, now)) {
                    told += count(notice);
                    events += 1;
                }
            }
            told += notices.due(start + Duration::from_secs(at) + GATHER).iter().map(count).sum::<u64>();
            prop_assert_eq!(told, gaps.len() as u64);
            prop_assert!(events <= at / 60 + 1, "{} events in {} s", events, at);
        }
    }
}

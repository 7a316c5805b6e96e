//! What the menubar shows, as plain values: drawn only where two of them differ.

use cockpit_model::{Action, InstanceState, Service, Status, VerdictState};

use crate::desktop::feed::View;

/// The whole menubar at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// The icon's shape.
    pub(super) shape: VerdictState,
    /// The first line.
    pub(super) verdict: String,
    /// One submenu each.
    pub(super) services: Vec<Row>,
    /// Whether an engine answers.
    pub(super) is_live: bool,
    /// Whether it starts at login; null where that is not known.
    pub(super) login: Option<bool>,
}

/// A service's submenu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// `▲  api: backing off`.
    pub(super) title: String,
    /// Whether Restart makes sense.
    pub(super) can_restart: bool,
    /// Start instead of Stop.
    pub(super) offers_start: bool,
    /// Whether that one makes sense.
    pub(super) can_switch: bool,
}

impl Picture {
    /// The picture of a view.
    pub(super) fn of(view: &View) -> Self {
        match view {
            View::Away(why) => Self {
                shape: VerdictState::Unknown,
                verdict: why.clone(),
                services: Vec::new(),
                is_live: false,
                login: None,
            },
            View::Live {
                status,
                services,
                login,
            } => Self {
                shape: status.verdict.state,
                verdict: sentence(status),
                services: services.iter().map(Row::of).collect(),
                is_live: true,
                login: *login,
            },
        }
    }

    /// Whether the same submenus stand in the same order.
    pub(super) fn has_rows_of(&self, other: &Self) -> bool {
        let names = |picture: &Self| -> Vec<String> {
            picture
                .services
                .iter()
                .map(|row| row.name.clone())
                .collect()
        };
        names(self) == names(other)
    }
}

fn sentence(status: &Status) -> String {
    let summary = &status.verdict.summary;
    match status.incidents_open {
        0 => summary.clone(),
        1 => format!("{summary} (1 open incident)"),
        n => format!("{summary} ({n} open incidents)"),
    }
}

impl Row {
    fn of(service: &Service) -> Self {
        let has = |action| service.actions.contains(&action);
        let offers_start = has(Action::Start) && !has(Action::Stop);
        Self {
            name: service.name.clone(),
            title: format!(
                "{}  {}{}",
                symbol(service.state),
                service.name,
                words(service.state)
            ),
            can_restart: has(Action::Restart),
            offers_start,
            can_switch: has(Action::Start) || has(Action::Stop),
        }
    }
}

/// The state as a shape that a menu's font has.
const fn symbol(state: InstanceState) -> char {
    match state {
        InstanceState::Ready | InstanceState::Done => '●',
        InstanceState::Starting | InstanceState::Waiting | InstanceState::Stopping => '◐',
        InstanceState::Degraded | InstanceState::Failing | InstanceState::BackingOff => '▲',
        InstanceState::CrashLooping | InstanceState::Missing => '✕',
        InstanceState::Stopped => '○',
        InstanceState::Unknown => '?',
    }
}

/// The state in words; nothing where all is well.
fn words(state: InstanceState) -> String {
    match state {
        InstanceState::Ready => String::new(),
        other => format!(": {}", other.as_str().replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn service(name: &str, state: &str, actions: &[&str]) -> Service {
        serde_json::from_value(json!({
            "name": name, "kind": "command", "state": state, "since": "2026-01-01T00:00:00Z",
            "cause": "", "owner": "cockpit", "owner_detail": null, "version": null, "listen": null,
            "instances": [], "probe": null, "heartbeat": [], "depends_on": [],
            "manual_stop": false, "actions": actions, "detail": null,
        }))
        .unwrap()
    }

    fn view(services: Vec<Service>, incidents: u32) -> View {
        let status = serde_json::from_value(json!({
            "state": "well", "summary": "All 2 services are ready", "since": "2026-01-01T00:00:00Z",
            "cause": "", "config": { "state": "ok", "errors": [], "warnings": [] },
            "services": { "ready": 2, "total": 2 }, "incidents_open": incidents,
            "engine": {
                "version": "0.1.0", "pid": 1, "started_at": "2026-01-01T00:00:00Z",
                "data_dir": "/d", "config_path": "/d/cockpit.toml", "demo": false,
            },
        }))
        .unwrap();
        View::Live {
            status: Box::new(status),
            services,
            login: Some(false),
        }
    }

    #[test]
    fn a_row_says_the_state_by_shape_and_in_words_and_offers_what_makes_sense() {
        let picture = Picture::of(&view(
            vec![
                service("api", "ready", &["stop", "restart"]),
                service("db", "stopped", &["start"]),
                service("worker", "backing_off", &["stop", "restart"]),
                service("site", "ready", &[]),
            ],
            0,
        ));
        let titles: Vec<&str> = picture.services.iter().map(|r| r.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "●  api",
                "○  db: stopped",
                "▲  worker: backing off",
                "●  site"
            ]
        );
        let [api, db, _, site] = &picture.services[..] else {
            panic!("four rows")
        };
        assert!(api.can_restart && api.can_switch && !api.offers_start);
        assert!(!db.can_restart && db.can_switch && db.offers_start);
        assert!(!site.can_restart && !site.can_switch);
    }

    #[test]
    fn open_incidents_stand_beside_the_verdict() {
        let verdict = |n| Picture::of(&view(Vec::new(), n)).verdict;
        assert_eq!(verdict(0), "All 2 services are ready");
        assert_eq!(verdict(1), "All 2 services are ready (1 open incident)");
        assert_eq!(verdict(2), "All 2 services are ready (2 open incidents)");
    }

    #[test]
    fn without_an_engine_the_state_is_unknown_not_well() {
        let picture = Picture::of(&View::Away("The engine is stopped".to_owned()));
        assert_eq!(picture.shape, VerdictState::Unknown);
        assert!(!picture.is_live && picture.services.is_empty());
    }
}

//! What a project's containers amount to. Pure.

use cockpit_model::service::Check;

use super::Project;
use crate::docker::Seen;

/// What nothing else depends on: missing it is told, and takes nothing down.
const OPTIONAL: [&str; 8] = [
    "analytics",
    "imgproxy",
    "inbucket",
    "mailpit",
    "pg_meta",
    "pooler",
    "studio",
    "vector",
];

/// How a project stands, the worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Docker has no container of it.
    Absent,
    /// Containers that must run do not; which and how they ended.
    Dead(String),
    /// All run, but some fail their health check.
    Unhealthy(String),
    /// All run, some not yet checked.
    Settling(String),
    /// All run, none complains.
    Up,
}

/// Judges the containers.
pub(super) fn standing(containers: &[Seen]) -> Standing {
    if containers.is_empty() {
        return Standing::Absent;
    }
    let required: Vec<&Seen> = containers.iter().filter(|c| !is_optional(c)).collect();
    let mut dead: Vec<String> = required
        .iter()
        .filter(|c| !c.runs())
        .map(|c| how(c))
        .collect();
    // The CLI keeps the others when the database's container was removed.
    if !required.iter().any(|c| short(c) == "db") {
        dead.push("the database's container is gone".to_owned());
    }
    if !dead.is_empty() {
        return Standing::Dead(dead.join(", "));
    }
    let with = |health: &str| -> Vec<&str> {
        required
            .iter()
            .filter(|c| c.view.health.as_deref() == Some(health))
            .map(|c| c.view.name.as_str())
            .collect()
    };
    let unhealthy = with("unhealthy");
    if !unhealthy.is_empty() {
        return Standing::Unhealthy(format!("{} fails its health check", unhealthy.join(", ")));
    }
    let starting = with("starting");
    if !starting.is_empty() {
        return Standing::Settling(format!("{} is starting", starting.join(", ")));
    }
    Standing::Up
}

/// Services that the project's settings ask for and that have no container at all: what a start that
/// was broken off leaves. (Or what a person left out by hand: then they stay out after a start.)
pub(super) fn missing(project: &Project, containers: &[Seen]) -> Vec<&'static str> {
    [
        ("db", true),
        ("kong", project.api),
        ("auth", project.api && project.auth),
        ("rest", project.api),
    ]
    .into_iter()
    .filter(|(service, wanted)| *wanted && !containers.iter().any(|c| short(c) == *service))
    .map(|(service, _)| service)
    .collect()
}

/// Checks for the optional containers that are not well.
pub(super) fn optional_checks(containers: &[Seen]) -> Vec<Check> {
    containers
        .iter()
        .filter(|c| is_optional(c))
        .filter(|c| !c.runs() || c.view.health.as_deref() == Some("unhealthy"))
        .map(|c| Check {
            name: short(c).to_owned(),
            ok: Some(false),
            latency_ms: None,
            error: Some(if c.runs() {
                format!("{} fails its health check", c.view.name)
            } else {
                how(c)
            }),
        })
        .collect()
}

fn short(container: &Seen) -> &str {
    crate::docker::short_name(&container.view.name)
}

fn is_optional(container: &Seen) -> bool {
    OPTIONAL.contains(&short(container))
}

fn how(container: &Seen) -> String {
    let view = &container.view;
    match view.exit_code {
        Some(code) => format!("{} {} with {code}", view.name, view.state),
        None => format!("{} is {}", view.name, view.state),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use cockpit_model::service::Container;

    pub(in super::super) fn container(service: &str, state: &str, health: Option<&str>) -> Seen {
        Seen {
            id: service.into(),
            view: Container {
                name: format!("supabase_{service}_shop"),
                image: "x".into(),
                state: state.into(),
                health: health.map(str::to_owned),
                status: String::new(),
                exit_code: (state == "exited").then_some(137),
                started_at: None,
            },
            env: vec![],
        }
    }

    #[test]
    fn the_worst_speaks() {
        let db = || container("db", "running", Some("healthy"));
        assert_eq!(standing(&[]), Standing::Absent);
        assert_eq!(standing(&[db()]), Standing::Up);
        assert_eq!(
            standing(&[db(), container("kong", "exited", None)]),
            Standing::Dead("supabase_kong_shop exited with 137".into())
        );
        assert_eq!(
            standing(&[container("kong", "running", None)]),
            Standing::Dead("the database's container is gone".into())
        );
        assert!(matches!(
            standing(&[db(), container("auth", "running", Some("unhealthy"))]),
            Standing::Unhealthy(why) if why.contains("auth")
        ));
        assert!(matches!(
            standing(&[db(), container("rest", "running", Some("starting"))]),
            Standing::Settling(_)
        ));
        assert!(matches!(
            standing(&[db(), container("rest", "paused", None)]),
            Standing::Dead(why) if why.ends_with("is paused")
        ));
    }

    #[test]
    fn a_start_that_was_broken_off_left_some_out() {
        let mut project = Project {
            folder: "/x".into(),
            id: "shop".into(),
            api_port: 1,
            db_port: 2,
            api: true,
            auth: true,
        };
        let some = [
            container("db", "running", None),
            container("kong", "running", None),
        ];
        assert_eq!(missing(&project, &some), ["auth", "rest"]);
        project.auth = false;
        assert_eq!(missing(&project, &some), ["rest"]);
        project.api = false;
        assert!(missing(&project, &some).is_empty());
    }

    #[test]
    fn an_optional_one_is_told_and_takes_nothing_down() {
        let all = [
            container("db", "running", Some("healthy")),
            container("vector", "exited", None),
            container("studio", "running", Some("unhealthy")),
            container("pg_meta", "running", Some("healthy")),
        ];
        assert_eq!(standing(&all), Standing::Up);
        let checks = optional_checks(&all);
        let names: Vec<&str> = checks.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["vector", "studio"]);
    }
}

//! Probes: one question each, asked again and again. One file per check.
//!
//! A [`Prober`] is polled by its instance's actor; it owns its timer and its question under way, so that no task and
//! no channel stands between an answer and the one who judges it. While a verdict is awaited it hurries (a start
//! is noticed within milliseconds); then it keeps to its interval, at a phase of its own, so that a hundred services
//! do not ask at the same instant.

mod exec;
mod http;
mod log;
mod postgres;
mod tcp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cockpit_model::Timestamp;
use cockpit_model::spec::{ProbeCheck, ProbeSpec};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use crate::launch::with_port;
use crate::machine::words::span;

pub(crate) use http::Http;
pub(crate) use log::Written;

/// The first pause while a verdict is awaited; it grows by half each time.
const HURRY: Duration = Duration::from_millis(20);
/// The longest such pause, where the interval is not shorter: a start that took long is noticed within it.
const HURRY_MOST: Duration = Duration::from_secs(1);

/// What the checks need from their service.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// The shared client.
    pub(crate) http: Arc<Http>,
    /// The instance's port.
    pub(crate) port: Option<u16>,
    /// The service's environment.
    pub(crate) env: Arc<BTreeMap<String, String>>,
    /// The service's working folder.
    pub(crate) folder: PathBuf,
    /// What the instance wrote.
    pub(crate) written: Written,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// When it was asked.
    pub(crate) at: Timestamp,
    /// How long it took.
    pub(crate) latency: Duration,
    /// Passed, or why not.
    pub(crate) outcome: Result<(), String>,
}

/// Asks once, within the probe's time limit.
pub(crate) async fn ask(spec: &ProbeSpec, around: &Surroundings) -> Answer {
    let at = Timestamp::now();
    let asked = Instant::now();
    let port = around.port;
    let question = async {
        match &spec.check {
            ProbeCheck::Http(url) => around.http.get(&with_port(url, port)).await,
            ProbeCheck::Tcp(address) => tcp::connect(&with_port(address, port)).await,
            ProbeCheck::Exec(command) => exec::run(command, around).await,
            ProbeCheck::Postgres(url) => postgres::select(&with_port(url, port), &around.env).await,
            ProbeCheck::Log(text) => around.written.holds(text).await,
        }
    };
    let outcome = timeout(spec.timeout, question)
        .await
        .unwrap_or_else(|_| Err(format!("timed out after {}", span(spec.timeout))));
    Answer {
        at,
        latency: asked.elapsed(),
        outcome,
    }
}

/// What is probed, in words, without secrets.
pub(crate) fn target(check: &ProbeCheck, port: Option<u16>) -> String {
    match check {
        ProbeCheck::Http(url) => without_secrets(&with_port(url, port)),
        ProbeCheck::Tcp(address) => with_port(address, port),
        ProbeCheck::Exec(command) => command.first().cloned().unwrap_or_default(),
        ProbeCheck::Postgres(url) => without_secrets(&with_port(url, port)),
        ProbeCheck::Log(text) => text.clone(),
    }
}

/// What a passing readiness probe means.
pub(crate) fn passing(check: Option<&ProbeCheck>, port: Option<u16>) -> String {
    let Some(check) = check else {
        return "runs".to_owned();
    };
    let target = target(check, port);
    match check {
        ProbeCheck::Http(_) | ProbeCheck::Postgres(_) => format!("answers at {target}"),
        ProbeCheck::Tcp(_) => format!("accepts connections at {target}"),
        ProbeCheck::Exec(_) => format!("`{target}` passes"),
        ProbeCheck::Log(_) => format!("wrote `{target}`"),
    }
}

/// A URL without user, password and query.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// One probe of one instance.
pub(crate) struct Prober {
    spec: Arc<ProbeSpec>,
    around: Surroundings,
    due: Instant,
    pause: Duration,
    hurried: bool,
    phase: f64,
    asking: Option<BoxFuture<'static, Answer>>,
}

impl Prober {
    /// Asks for the first time in a moment. `phase` in `0.0..1.0` places its interval among the others.
    pub(crate) fn new(spec: Arc<ProbeSpec>, around: Surroundings, phase: f64) -> Self {
        Self {
            spec,
            around,
            due: Instant::now() + HURRY / 2,
            pause: HURRY,
            hurried: true,
            phase,
            asking: None,
        }
    }

    /// Whether a verdict is awaited. Once it is there, the interval is kept, at this probe's own phase.
    pub(crate) fn hurry(&mut self, hurried: bool) {
        if self.hurried && !hurried && self.asking.is_none() {
            let every = self.spec.every;
            self.due = Instant::now() + every.mul_f64(0.5 + self.phase.clamp(0.0, 1.0) / 2.0);
        }
        self.hurried = hurried;
    }

    /// The next answer, when it is due. Loses nothing if dropped.
    pub(crate) async fn next(&mut self) -> Answer {
        if self.asking.is_none() {
            tokio::time::sleep_until(self.due).await;
        }
        let (spec, around) = (&self.spec, &self.around);
        let asking = self.asking.get_or_insert_with(|| {
            let (spec, around) = (Arc::clone(spec), around.clone());
            Box::pin(async move { ask(&spec, &around).await })
        });
        let answer = asking.await;
        self.asking = None;
        let pause = match (self.hurried, &answer.outcome) {
            (true, Ok(())) => HURRY.min(self.spec.every),
            (true, Err(_)) => {
                self.pause = (self.pause * 3 / 2).min(HURRY_MOST).min(self.spec.every);
                self.pause
            }
            (false, _) => self.spec.every,
        };
        self.due = (self.due + pause).max(Instant::now() + pause / 2);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_no_secrets() {
        let said = |url: &str| target(&ProbeCheck::Postgres(url.to_owned()), Some(5433));
        assert_eq!(
            said("postgres://me:geheim@127.0.0.1:{port}/db?password=geheim"),
            "postgres://127.0.0.1:5433/db"
        );
        assert_eq!(said("postgres://127.0.0.1"), "postgres://127.0.0.1");
    }
}

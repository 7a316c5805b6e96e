//! Callers that wait for a start or a stop to be done. Each is answered exactly once.

use std::time::Duration;

use cockpit_model::{Code, Problem, ServiceSpec};

use super::io::{Effect, Ticket};
use super::words;

#[derive(Debug, Default)]
pub(super) struct Tickets {
    up: Vec<(Ticket, Duration)>,
    down: Vec<Ticket>,
}

impl Tickets {
    /// Waits for readiness, at most until `deadline`.
    pub(super) fn up(&mut self, ticket: Ticket, deadline: Duration) {
        self.up.push((ticket, deadline));
    }

    /// Waits for the tree to be gone.
    pub(super) fn down(&mut self, ticket: Ticket) {
        self.down.push(ticket);
    }

    pub(super) fn resolve_up(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.up.drain(..).map(|(t, _)| Effect::Resolve(t, Ok(()))));
    }

    pub(super) fn resolve_down(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.down.drain(..).map(|t| Effect::Resolve(t, Ok(()))));
    }

    pub(super) fn fail_up(&mut self, problem: &Problem, out: &mut Vec<Effect>) {
        let failed = self.up.drain(..);
        out.extend(failed.map(|(t, _)| Effect::Resolve(t, Err(problem.clone()))));
    }

    /// A stop was overtaken by a start.
    pub(super) fn fail_down(&mut self, name: &str, out: &mut Vec<Effect>) {
        let problem = Problem::new(
            Code::ActionFailed,
            format!("{name} was started again before it was stopped"),
        );
        let failed = self.down.drain(..);
        out.extend(failed.map(|t| Effect::Resolve(t, Err(problem.clone()))));
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.up.iter().map(|(_, deadline)| *deadline).min()
    }

    pub(super) fn expire(
        &mut self,
        now: Duration,
        spec: &ServiceSpec,
        cause: &str,
        out: &mut Vec<Effect>,
    ) {
        self.up.retain(|(ticket, deadline)| {
            if *deadline > now {
                return true;
            }
            let problem = Problem::new(
                Code::ActionFailed,
                format!(
                    "{} is not ready after {}",
                    spec.name,
                    words::span(spec.start_timeout)
                ),
            )
            .detail(cause)
            .remedy("look at its log; raise start_timeout if it only needs longer");
            out.push(Effect::Resolve(*ticket, Err(problem)));
            false
        });
    }
}

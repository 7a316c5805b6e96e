//! After every step: what is shown, and whether probes run.

use std::sync::Arc;

use cockpit_model::spec::{ProbeCheck, Run};
use cockpit_model::{HealthTick, Instance, InstanceState, ProbeView, Timestamp};
use tokio::time::Instant;

use super::{Actor, INSPECT_EVERY, INSPECT_HURRIED};
use crate::cell::Slot;
use crate::machine::Input;
use crate::probe::{self, Answer, Prober, Surroundings, Written};

/// So many probes are remembered.
const REMEMBERED: usize = 90;

impl Actor {
    /// Brings everything that follows from the machine's state in line with it.
    pub(super) fn settle(&mut self) {
        if !self.inputs.is_empty() {
            self.feed(Input::Tick);
        }
        self.run_probes();
        self.plan_inspection();
        let done = self.machine.state() == InstanceState::Done;
        if !done || self.retiring.is_some() {
            self.acknowledge();
        }
        let leaving = self.retiring.is_some();
        if self.machine.is_off() && (!done || leaving) && self.link.is_some() {
            self.dismiss_shim();
        }
        let gone = self.machine.is_off() && self.link.is_none() && self.closing.is_none();
        if gone
            && !leaving
            && let Some(old_way) = self.leaving.take()
        {
            self.run_the_new_way(old_way);
            self.run_probes();
            self.plan_inspection();
        }
        self.publish();
        if self.machine.is_off()
            && self.closing.is_none()
            && let Some(retired) = self.retiring.take()
        {
            self.over = true;
            let _ = retired.send(());
        }
    }

    fn run_probes(&mut self) {
        if !self.machine.probing() {
            self.forget_probes();
            return;
        }
        let process = self.machine.started_at().or(Some(Timestamp::UNIX_EPOCH));
        if self.probed != process {
            self.forget_probes();
            self.probed = process;
            let since = self.machine.started_at().unwrap_or(Timestamp::UNIX_EPOCH);
            let around = self.probe_surroundings(since);
            if self.machine.external().is_none()
                && let Some(text) = self.label.as_ref().and_then(|l| l.log_seen.clone())
            {
                around.written.remember(text);
            }
            let prober = |spec: &Option<_>, phase: f64| {
                spec.clone()
                    .map(|spec| Prober::new(Arc::new(spec), around.clone(), phase))
            };
            self.ready = prober(&self.spec.ready, cockpit_resilience::chance());
            // One question answers both.
            let both = self.spec.ready == self.spec.live;
            let live = if both { None } else { self.spec.live.clone() };
            self.live = prober(&live, cockpit_resilience::chance());
        }
        let hurried = self.machine.hurried();
        if let Some(ready) = &mut self.ready {
            ready.hurry(hurried);
        }
        if let Some(live) = &mut self.live {
            live.hurry(false);
        }
    }

    pub(super) fn forget_probes(&mut self) {
        self.ready = None;
        self.live = None;
        self.probed = None;
    }

    pub(super) fn probe_surroundings(&mut self, since: Timestamp) -> Surroundings {
        // A broken env_file stops the start, not the probes of what runs.
        let needs_env =
            |check: &ProbeCheck| matches!(check, ProbeCheck::Exec(_) | ProbeCheck::Postgres(_));
        let probes = [&self.spec.ready, &self.spec.live];
        let env = match probes.into_iter().flatten().any(|p| needs_env(&p.check)) {
            true => self.launch.environment().unwrap_or_default(),
            false => Default::default(),
        };
        Surroundings {
            http: Arc::clone(&self.shared.http),
            port: self.port,
            env,
            folder: self.launch.folder(),
            written: Written::since(self.log_spec().path, since),
        }
    }

    pub(super) fn on_ready_answer(&mut self, answer: Answer) {
        let ok = answer.outcome.is_ok();
        // A start that is not over yet is no missed beat.
        if ok || self.machine.state() != InstanceState::Starting {
            if self.heartbeat.len() >= REMEMBERED {
                self.heartbeat.pop_front();
            }
            self.heartbeat.push_back(HealthTick {
                at: answer.at,
                ok,
                latency_ms: ok.then_some(answer.latency.as_secs_f64() * 1000.0),
            });
        }
        if ok
            && self.machine.external().is_none()
            && let Some(ProbeCheck::Log(text)) = self.spec.ready.as_ref().map(|p| p.check.clone())
        {
            self.relabel(|label| label.log_seen = Some(text));
        }
        let both = self.spec.live.is_some() && self.spec.ready == self.spec.live;
        let outcome = answer.outcome.clone();
        self.last_answer = Some(answer);
        self.feed(Input::Ready(outcome.clone()));
        if both {
            self.feed(Input::Live(outcome));
        }
    }

    fn plan_inspection(&mut self) {
        if self.driver.is_none() || self.index > 0 || !self.machine.probing() {
            if self.inspect_at.take().is_some() {
                let mut facts = self.cell.facts();
                facts.detail = None;
                self.cell.set_facts(facts);
            }
            return;
        }
        let awaited = self.driver_judges && self.spec.ready.is_none();
        let hurried = awaited && self.machine.hurried();
        let every = if hurried {
            INSPECT_HURRIED
        } else {
            INSPECT_EVERY
        };
        let now = Instant::now();
        self.inspect_at = Some(self.inspect_at.unwrap_or(now).min(now + every));
    }

    fn probe_view(&self) -> Option<ProbeView> {
        let spec = self.spec.ready.as_ref()?;
        let mut latencies: Vec<f64> = self
            .heartbeat
            .iter()
            .filter_map(|tick| tick.latency_ms)
            .collect();
        latencies.sort_by(f64::total_cmp);
        // Nearest rank.
        let rank = (latencies.len() * 95).div_ceil(100).saturating_sub(1);
        let last = self.last_answer.as_ref();
        Some(ProbeView {
            kind: spec.check.kind().to_owned(),
            target: probe::target(&spec.check, self.port),
            latency_ms: last
                .filter(|a| a.outcome.is_ok())
                .map(|a| a.latency.as_secs_f64() * 1000.0),
            p95_ms: latencies.get(rank).copied(),
            error: last.and_then(|answer| answer.outcome.clone().err()),
        })
    }

    /// Shows the present.
    pub(super) fn publish(&mut self) {
        let machine = &self.machine;
        let slot = Slot {
            instance: Instance {
                index: self.index,
                pid: machine.pid(),
                port: self.port.filter(|_| self.spec.run != Run::Watch),
                state: machine.state(),
                since: machine.since(),
                cause: machine.cause().to_owned(),
                started_at: machine.started_at(),
                restarts: machine.restarts(),
                cpu_percent: None,
                memory_bytes: None,
                last_exit: machine.last_exit().cloned(),
                next_attempt_at: machine.next_attempt_at(),
            },
            shim_pid: self.shim_pid,
            probe: self.probe_view(),
            heartbeat: self.heartbeat.clone(),
            holder: self.holder.clone(),
            external: machine.external().is_some(),
            wanted: machine.wanted(),
        };
        let urgent = self.cell.update(slot);
        if urgent {
            self.shared.state_changed();
        }
        if self.cell.tell(&self.shared.parts.events, urgent) {
            self.shared.view_changed();
        }
    }
}

//! A machine to play with: its settings, its clock, and what happens to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;

use cockpit_model::spec::{
    LimitAction, LimitsSpec, LogSpec, PresetOptions, ProbeCheck, ProbeSpec, RestartPolicy,
    RestartSpec, StopSpec,
};
use cockpit_model::{Code, Owner};

use super::*;

pub(super) const S: fn(u64) -> Duration = Duration::from_secs;

pub(super) fn moment(ms: u64) -> Moment {
    let mono = Duration::from_millis(ms);
    Moment {
        mono,
        wall: Timestamp::UNIX_EPOCH
            .checked_add(mono + S(1_000_000_000))
            .unwrap(),
    }
}

pub(super) fn ended(code: Option<i32>, at: Timestamp) -> Exit {
    let signal = code.is_none().then(|| "SIGKILL".to_owned());
    Exit {
        code,
        signal,
        at,
        last_lines: vec!["out of cheese".to_owned()],
    }
}

pub(super) fn holder() -> PortHolder {
    PortHolder {
        pid: Some(812),
        name: "ollama".to_owned(),
        owner: Owner::OllamaApp,
        described: "Ollama.app".to_owned(),
    }
}

pub(crate) fn spec() -> ServiceSpec {
    let probe = ProbeSpec {
        check: ProbeCheck::Tcp("127.0.0.1:3000".to_owned()),
        every: S(2),
        timeout: S(1),
        failures: 3,
        successes: 2,
    };
    ServiceSpec {
        name: "api".to_owned(),
        kind: Kind::Command,
        run: Run::Process(vec!["x".to_owned()]),
        cwd: None,
        env: BTreeMap::new(),
        env_file: None,
        depends_on: Vec::new(),
        replicas: 1,
        listen: None,
        ready: Some(probe.clone()),
        live: Some(probe),
        start_timeout: S(300),
        restart: RestartSpec {
            policy: RestartPolicy::Always,
            initial_delay: Duration::ZERO,
            max_delay: S(30),
            reset_after: S(30),
            max_restarts: None,
        },
        stop: StopSpec {
            signal: "SIGTERM".to_owned(),
            grace: S(10),
        },
        limits: LimitsSpec {
            memory: None,
            action: LimitAction::Restart,
        },
        logs: LogSpec {
            max_size: 1 << 20,
            keep: 2,
        },
        autostart: true,
        options: PresetOptions::default(),
    }
}

/// A machine and its clock.
pub(super) struct Play {
    pub(super) machine: Machine,
    pub(super) ms: u64,
    pub(super) seen: Vec<Effect>,
}

impl Play {
    pub(super) fn of(spec: ServiceSpec) -> Self {
        let machine = Machine::new(Arc::new(spec), 0, "answers".to_owned(), 0, moment(0));
        Self {
            machine,
            ms: 0,
            seen: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, input: Input) -> &mut Self {
        self.seen = self.machine.step(moment(self.ms), 0.5, input);
        self
    }

    pub(super) fn start(&mut self) -> &mut Self {
        self.put(Input::Start {
            by: By::Hand,
            ticket: Some(Ticket(1)),
        })
    }

    pub(super) fn spawned(&mut self) -> &mut Self {
        let started_at = moment(self.ms).wall;
        self.put(Input::Spawned {
            pid: Some(7),
            started_at,
            uptime: Duration::ZERO,
            adopted: false,
        })
    }

    pub(super) fn ready(&mut self) -> &mut Self {
        self.put(Input::Ready(Ok(()))).put(Input::Ready(Ok(())))
    }

    pub(super) fn dies(&mut self, code: Option<i32>) -> &mut Self {
        let exit = ended(code, moment(self.ms).wall);
        self.put(Input::Exited {
            exit,
            tree_empty: true,
        })
    }

    pub(super) fn after(&mut self, ms: u64) -> &mut Self {
        self.ms += ms;
        self.put(Input::Tick)
    }

    pub(super) fn is(&self, state: InstanceState, cause: &str) {
        assert_eq!((self.machine.state(), self.machine.cause()), (state, cause));
    }

    pub(super) fn spawns(&self) -> bool {
        self.seen.contains(&Effect::Spawn)
    }

    pub(super) fn answer(&self) -> Option<Result<(), Code>> {
        self.seen.iter().find_map(|e| match e {
            Effect::Resolve(_, answer) => Some(answer.clone().map_err(|p| p.code)),
            _ => None,
        })
    }
}

pub(super) fn refused() -> Result<(), String> {
    Err("connection refused at 127.0.0.1:3000".to_owned())
}

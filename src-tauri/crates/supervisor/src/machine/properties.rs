//! What holds for every sequence of inputs, against a small world that obeys the effects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;

use cockpit_model::spec::{RestartPolicy, RestartSpec};
use cockpit_model::{Code, Problem};
use proptest::prelude::*;

use super::play::{ended, moment, spec};
use super::*;

#[derive(Debug, Clone)]
enum Op {
    Start,
    Stop,
    Restart,
    Gate(bool),
    SpawnOk,
    SpawnMissing,
    SpawnHeld(bool),
    SpawnOther,
    Die { code: i32, leaves: bool },
    TreeGone,
    ShimLost,
    Ready(bool),
    Live(bool),
    Memory(u64),
    Woke,
    HolderGone,
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Start),
        2 => Just(Op::Stop),
        1 => Just(Op::Restart),
        1 => any::<bool>().prop_map(Op::Gate),
        6 => Just(Op::SpawnOk),
        1 => Just(Op::SpawnMissing),
        1 => any::<bool>().prop_map(Op::SpawnHeld),
        1 => Just(Op::SpawnOther),
        4 => (0..3, any::<bool>()).prop_map(|(code, leaves)| Op::Die { code, leaves }),
        4 => Just(Op::TreeGone),
        1 => Just(Op::ShimLost),
        3 => any::<bool>().prop_map(Op::Ready),
        3 => any::<bool>().prop_map(Op::Live),
        1 => (0_u64..200).prop_map(Op::Memory),
        1 => Just(Op::Woke),
        1 => Just(Op::HolderGone),
        6 => prop_oneof![0_u64..300, 0_u64..40_000, Just(400_000)].prop_map(Op::Advance),
    ]
}

/// What really exists, as the effects and the ops make it.
#[derive(Default)]
struct World {
    spawning: bool,
    leader: bool,
    rest: bool,
    ending: bool,
    wanted: bool,
    answers: BTreeMap<Ticket, u32>,
    issued: u64,
}

struct Run {
    machine: Machine,
    world: World,
    now: u64,
}

impl Run {
    fn new(policy: RestartPolicy, task: bool, max_restarts: Option<u32>) -> Self {
        let mut spec = spec();
        spec.restart = RestartSpec {
            policy,
            max_restarts,
            ..spec.restart
        };
        spec.limits.memory = Some(100);
        if task {
            spec.kind = Kind::Task;
        }
        let machine = Machine::new(Arc::new(spec), 0, "answers".to_owned(), 0, moment(0));
        Self {
            machine,
            world: World::default(),
            now: 0,
        }
    }

    fn feed(&mut self, input: Input) {
        let effects = self.machine.step(moment(self.now), 0.5, input);
        let world = &mut self.world;
        for effect in effects {
            match effect {
                Effect::Spawn => {
                    assert!(
                        !world.spawning && !world.leader && !world.rest && !world.ending,
                        "a second process"
                    );
                    assert!(world.wanted, "a start that nobody wants");
                    world.spawning = true;
                }
                Effect::StopTree => {
                    assert!(world.leader || world.rest, "a stop of nothing");
                    world.ending = true;
                }
                Effect::RecoverTree => world.ending = true,
                Effect::Resolve(ticket, _) => *world.answers.get_mut(&ticket).unwrap() += 1,
                _ => {}
            }
        }
        let deadline = self.machine.deadline();
        assert!(
            deadline.is_none_or(|at| at > moment(self.now).mono),
            "a deadline that does not pass"
        );
        let world = &self.world;
        let gave_up = self.machine.is_off();
        let held = matches!(self.machine.state(), InstanceState::Waiting);
        assert!(
            !self.machine.wanted()
                || world.spawning
                || world.leader
                || world.rest
                || world.ending
                || deadline.is_some()
                || held
                || self.machine.external().is_some(),
            "wanted and forgotten in {:?}: {}",
            self.machine.state(),
            self.machine.cause(),
        );
        assert!(!gave_up || !self.machine.wanted());
        assert!(!self.machine.cause().is_empty());
    }

    fn ticket(&mut self) -> Option<Ticket> {
        self.world.issued += 1;
        let ticket = Ticket(self.world.issued);
        self.world.answers.insert(ticket, 0);
        Some(ticket)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Start => {
                self.world.wanted = true;
                let ticket = self.ticket();
                self.feed(Input::Start {
                    by: By::Hand,
                    ticket,
                });
            }
            Op::Stop => {
                // A foreign process is not stopped: the wish to run it stays.
                self.world.wanted &= self.machine.external().is_some();
                let ticket = self.ticket();
                self.feed(Input::Stop {
                    by: By::Hand,
                    cause: "stopped by hand".into(),
                    ticket,
                });
            }
            Op::Restart => {
                self.world.wanted = true;
                let ticket = self.ticket();
                self.feed(Input::Restart {
                    by: By::Hand,
                    cause: "restarted by hand".into(),
                    ticket,
                });
            }
            Op::Gate(open) => {
                let held = Held {
                    who: "db (starting)".into(),
                    hopeless: None,
                };
                self.feed(Input::Gate(if open { Ok(()) } else { Err(held) }));
            }
            Op::SpawnOk if self.world.spawning => {
                self.world.spawning = false;
                self.world.leader = true;
                let started_at = moment(self.now).wall;
                self.feed(Input::Spawned {
                    pid: Some(7),
                    started_at,
                    uptime: Duration::ZERO,
                    adopted: false,
                });
            }
            Op::SpawnMissing if self.world.spawning => {
                self.fail(SpawnFailure::Missing {
                    program: "x".into(),
                });
            }
            Op::SpawnHeld(stands_in) if self.world.spawning => {
                let holder = Some(super::play::holder());
                self.fail(SpawnFailure::PortHeld {
                    port: 3000,
                    holder,
                    stands_in,
                });
            }
            Op::SpawnOther if self.world.spawning => {
                self.fail(SpawnFailure::Other(Problem::new(
                    Code::ActionFailed,
                    "no memory",
                )));
            }
            Op::Die { code, leaves } if self.world.leader => {
                self.world.leader = false;
                self.world.rest = leaves;
                if !leaves {
                    self.world.ending = false;
                }
                let exit = ended(Some(code), moment(self.now).wall);
                self.feed(Input::Exited {
                    exit,
                    tree_empty: !leaves,
                });
            }
            Op::TreeGone if !self.world.leader && (self.world.rest || self.world.ending) => {
                self.world.rest = false;
                self.world.ending = false;
                self.feed(Input::TreeEmpty);
            }
            Op::ShimLost => {
                let anything = self.world.spawning || self.world.leader || self.world.rest;
                self.world.spawning = false;
                self.world.leader = false;
                self.world.rest = anything;
                self.feed(Input::ShimLost {
                    cause: "killed".into(),
                });
            }
            Op::Ready(ok) => self.feed(Input::Ready(sample(ok))),
            Op::Live(ok) => self.feed(Input::Live(sample(ok))),
            Op::Memory(bytes) => self.feed(Input::Memory { bytes }),
            Op::Woke => self.feed(Input::Woke),
            Op::HolderGone => self.feed(Input::HolderGone),
            Op::Advance(ms) => {
                self.now += ms;
                self.feed(Input::Tick);
            }
            _ => {}
        }
    }

    fn fail(&mut self, failure: SpawnFailure) {
        self.world.spawning = false;
        self.feed(Input::SpawnFailed(failure));
    }

    /// Lets everything that is under way come to its end.
    fn drain(&mut self) {
        self.apply(Op::Stop);
        self.apply(Op::SpawnMissing);
        self.apply(Op::Die {
            code: 0,
            leaves: false,
        });
        self.apply(Op::TreeGone);
        self.apply(Op::Advance(1_000_000));
    }
}

fn sample(ok: bool) -> Result<(), String> {
    if ok {
        Ok(())
    } else {
        Err("refused".to_owned())
    }
}

fn policy() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![
        3 => Just(RestartPolicy::Always),
        1 => Just(RestartPolicy::OnFailure),
        1 => Just(RestartPolicy::Never),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// One process at most, none against a person's wish, nothing forgotten, no deadline that spins.
    #[test]
    fn every_sequence_keeps_the_invariants(
        policy in policy(), task in any::<bool>(), max in proptest::option::of(0_u32..4),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut run = Run::new(policy, task, max);
        for op in ops {
            run.apply(op);
        }
        run.drain();
        for (ticket, answers) in &run.world.answers {
            prop_assert_eq!(*answers, 1, "{:?} was answered {} times", ticket, answers);
        }
    }

    /// Whatever happens to a service that is to run, it comes back once its troubles are over.
    #[test]
    fn what_is_wanted_comes_back(ops in proptest::collection::vec(op(), 1..80)) {
        let mut run = Run::new(RestartPolicy::Always, false, None);
        for op in ops {
            run.apply(op);
        }
        run.apply(Op::Start);
        run.apply(Op::Gate(true));
        run.apply(Op::HolderGone);
        for _ in 0..50 {
            run.apply(Op::SpawnOk);
            if run.world.leader && !run.world.ending {
                run.apply(Op::Ready(true));
            } else if run.world.ending {
                run.apply(Op::Die { code: 0, leaves: false });
                run.apply(Op::TreeGone);
            } else {
                run.apply(Op::TreeGone);
                run.apply(Op::Advance(31_000));
            }
        }
        prop_assert_eq!(run.machine.state(), InstanceState::Ready, "{}", run.machine.cause());
    }

    /// A restart never comes later than the longest delay, nor a second one at once.
    #[test]
    fn delays_keep_their_bounds(deaths in 2_usize..30, up_ms in 0_u64..29_000, chance in 0.0_f64..1.0) {
        let mut run = Run::new(RestartPolicy::Always, false, None);
        run.apply(Op::Start);
        run.apply(Op::SpawnOk);
        for death in 0..deaths {
            run.now += up_ms;
            let exit = ended(Some(1), moment(run.now).wall);
            run.world.leader = false;
            let effects = run.machine.step(moment(run.now), chance, Input::Exited { exit, tree_empty: true });
            let at_once = effects.contains(&Effect::Spawn);
            prop_assert_eq!(at_once, death == 0);
            if !at_once {
                let delay = run.machine.deadline().unwrap() - moment(run.now).mono;
                prop_assert!(delay >= Duration::from_millis(125) && delay <= Duration::from_secs(30));
                run.now += u64::try_from(delay.as_millis()).unwrap() + 1;
                run.feed(Input::Tick);
            } else {
                run.world.spawning = true;
            }
            prop_assert!(run.world.spawning);
            run.apply(Op::SpawnOk);
        }
    }
}

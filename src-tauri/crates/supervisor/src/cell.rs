//! What is shown of a service: written by its instances' actors, read by anyone without waiting.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cockpit_model::spec::Run;
use cockpit_model::{
    Action, Detail, EventBody, HealthTick, Instance, InstanceState, Owner, PortHolder, ProbeView,
    Service, ServiceSpec, Timestamp,
};
use tokio::time::Instant;

use crate::seams::EventSink;

/// A service's view is told at most so often, unless its state changed.
pub(crate) const CALM: Duration = Duration::from_secs(1);

/// Never fails: what a panic left half done is still the newest there is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One instance as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub(crate) instance: Instance,
    pub(crate) shim_pid: Option<u32>,
    pub(crate) probe: Option<ProbeView>,
    pub(crate) heartbeat: VecDeque<HealthTick>,
    /// A foreign process that stands in, or holds our port.
    pub(crate) holder: Option<PortHolder>,
    /// Whether the holder stands in for the service.
    pub(crate) external: bool,
    pub(crate) wanted: bool,
}

impl Slot {
    pub(crate) fn new(index: u16, now: Timestamp) -> Self {
        Self {
            instance: Instance {
                index,
                pid: None,
                port: None,
                state: InstanceState::Unknown,
                since: now,
                cause: "not looked at yet".to_owned(),
                started_at: None,
                restarts: 0,
                cpu_percent: None,
                memory_bytes: None,
                last_exit: None,
                next_attempt_at: None,
            },
            shim_pid: None,
            probe: None,
            heartbeat: VecDeque::new(),
            holder: None,
            external: false,
            wanted: false,
        }
    }
}

/// What a driver knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) version: Option<String>,
    pub(crate) detail: Option<Detail>,
    pub(crate) owner: Option<Owner>,
    pub(crate) owner_detail: Option<String>,
}

/// What is wrong with a service although its probes pass; whoever talks to it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// For people.
    pub cause: String,
    /// Whether a foreign process has its address, which a person may have ended.
    pub is_held: bool,
}

/// What is known of a service in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The worst of its instances' states.
    pub state: InstanceState,
    /// Why; empty where it is ready.
    pub cause: String,
    /// The port of its first instance.
    pub port: Option<u16>,
}

struct Inner {
    spec: Arc<ServiceSpec>,
    slots: Vec<Slot>,
    facts: Facts,
    manual_stop: bool,
    /// What a person did by hand and will be forgotten with the engine: it could not be written down.
    forgotten: Option<String>,
    /// A roll that stopped half-way.
    stalled: Option<String>,
    /// What is wrong although its probes pass, and since when.
    trouble: Option<(Trouble, Timestamp)>,
    down: Option<(Instant, Vec<u16>)>,
    told: Option<Instant>,
    dirty: bool,
}

/// One service.
pub(crate) struct Cell {
    pub(crate) name: String,
    inner: Mutex<Inner>,
}

impl Cell {
    pub(crate) fn new(spec: Arc<ServiceSpec>, manual_stop: bool) -> Self {
        let now = Timestamp::now();
        let slots = (0..spec.replicas.max(1))
            .map(|i| Slot::new(i, now))
            .collect();
        Self {
            name: spec.name.clone(),
            inner: Mutex::new(Inner {
                spec,
                slots,
                facts: Facts::default(),
                manual_stop,
                forgotten: None,
                stalled: None,
                trouble: None,
                down: None,
                told: None,
                dirty: true,
            }),
        }
    }

    pub(crate) fn spec(&self) -> Arc<ServiceSpec> {
        Arc::clone(&lock(&self.inner).spec)
    }

    /// New settings; the number of instances follows.
    pub(crate) fn set_spec(&self, spec: Arc<ServiceSpec>) {
        let mut inner = lock(&self.inner);
        let count = usize::from(spec.replicas.max(1));
        inner.slots.truncate(count);
        for index in inner.slots.len()..count {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            inner.slots.push(Slot::new(index, Timestamp::now()));
        }
        inner.spec = spec;
        inner.dirty = true;
    }

    pub(crate) fn manual_stop(&self) -> bool {
        lock(&self.inner).manual_stop
    }

    /// Whether it is known, and written down, that it was stopped by hand (or that it was not).
    pub(crate) fn remembers(&self, stopped: bool) -> bool {
        let inner = lock(&self.inner);
        inner.manual_stop == stopped && inner.forgotten.is_none()
    }

    /// `forgotten`: why that holds only until the engine ends, as the end of a cause.
    pub(crate) fn set_manual_stop(&self, stopped: bool, forgotten: Option<String>) {
        let mut inner = lock(&self.inner);
        inner.manual_stop = stopped;
        inner.forgotten = forgotten;
        inner.dirty = true;
    }

    /// Where a roll stopped half-way, as the end of a cause; none: none did.
    pub(crate) fn set_stalled(&self, stalled: Option<String>) {
        let mut inner = lock(&self.inner);
        inner.dirty |= inner.stalled != stalled;
        inner.stalled = stalled;
    }

    /// What is wrong although its probes pass; `true` if that is news.
    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) -> bool {
        let mut inner = lock(&self.inner);
        let since = match (&inner.trouble, &trouble) {
            (Some((old, _)), Some(new)) if old == new => return false,
            (None, None) => return false,
            // Another cause is still the same trouble.
            (Some((_, since)), _) => *since,
            (None, _) => Timestamp::now(),
        };
        inner.trouble = trouble.map(|trouble| (trouble, since));
        inner.dirty = true;
        true
    }

    /// State, cause and port, without the rest of the view.
    pub(crate) fn standing(&self) -> Standing {
        let inner = lock(&self.inner);
        let worst = inner
            .slots
            .iter()
            .max_by_key(|slot| slot.instance.state.badness());
        let state = worst.map_or(InstanceState::Unknown, |slot| slot.instance.state);
        let cause = worst
            .filter(|_| state != InstanceState::Ready)
            .map(|slot| slot.instance.cause.clone());
        Standing {
            state,
            cause: cause.unwrap_or_default(),
            port: inner.slots.first().and_then(|slot| slot.instance.port),
        }
    }

    /// What an actor sees of its instance. `true` if its state or process changed: then it is to be told at once.
    pub(crate) fn update(&self, slot: Slot) -> bool {
        let mut inner = lock(&self.inner);
        let Some(old) = inner.slots.get_mut(usize::from(slot.instance.index)) else {
            return false;
        };
        let same_process = old.instance.pid == slot.instance.pid;
        let urgent = !same_process || old.instance.state != slot.instance.state;
        let (cpu_percent, memory_bytes) = match same_process {
            true => (old.instance.cpu_percent, old.instance.memory_bytes),
            false => (None, None),
        };
        let mut slot = slot;
        slot.instance.cpu_percent = cpu_percent;
        slot.instance.memory_bytes = memory_bytes;
        if *old != slot {
            *old = slot;
            inner.dirty = true;
        }
        urgent
    }

    /// What the instance's tree uses.
    pub(crate) fn set_usage(&self, index: u16, cpu_percent: f32, memory_bytes: u64) {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.slots.get_mut(usize::from(index)) else {
            return;
        };
        let instance = &mut slot.instance;
        let cpu_moved = instance
            .cpu_percent
            .is_none_or(|old| (old - cpu_percent).abs() >= 0.5);
        let memory_moved = instance
            .memory_bytes
            .is_none_or(|old| old.abs_diff(memory_bytes) > old / 100);
        instance.cpu_percent = Some(cpu_percent);
        instance.memory_bytes = Some(memory_bytes);
        inner.dirty |= cpu_moved || memory_moved;
    }

    pub(crate) fn facts(&self) -> Facts {
        lock(&self.inner).facts.clone()
    }

    pub(crate) fn set_facts(&self, facts: Facts) {
        let mut inner = lock(&self.inner);
        if inner.facts != facts {
            inner.facts = facts;
            inner.dirty = true;
        }
    }

    /// One of its instances is down and did not heal; `true` for the first.
    pub(crate) fn down(&self, index: u16) -> bool {
        let mut inner = lock(&self.inner);
        let (_, instances) = inner
            .down
            .get_or_insert_with(|| (Instant::now(), Vec::new()));
        let first = instances.is_empty();
        if !instances.contains(&index) {
            instances.push(index);
        }
        first
    }

    /// It is well again; `true` for the last.
    pub(crate) fn recovered(&self, index: u16) -> bool {
        let mut inner = lock(&self.inner);
        let Some((_, instances)) = &mut inner.down else {
            return false;
        };
        instances.retain(|i| *i != index);
        let last = instances.is_empty();
        if last {
            inner.down = None;
        }
        last
    }

    /// Whether dependants may rely on it: an instance of it is ready.
    pub(crate) fn is_reliable(&self) -> bool {
        lock(&self.inner)
            .slots
            .iter()
            .any(|slot| slot.instance.state.is_ready())
    }

    pub(crate) fn slots(&self) -> Vec<Slot> {
        lock(&self.inner).slots.clone()
    }

    /// The whole view.
    pub(crate) fn view(&self) -> Service {
        let inner = lock(&self.inner);
        let spec = &inner.spec;
        let worst = inner
            .slots
            .iter()
            .max_by_key(|slot| slot.instance.state.badness());
        let fallback = Slot::new(0, Timestamp::UNIX_EPOCH);
        let worst = worst.unwrap_or(&fallback);
        let mut cause = match inner.slots.len() {
            0 | 1 => worst.instance.cause.clone(),
            _ => format!(
                "instance {}: {}",
                worst.instance.index, worst.instance.cause
            ),
        };
        if let Some(forgotten) = &inner.forgotten {
            cause = format!("{cause}, {forgotten}");
        }
        if let Some(stalled) = &inner.stalled {
            cause = format!("{cause}; {stalled}");
        }
        let external = worst.holder.as_ref().filter(|_| worst.external);
        let (owner, owner_detail) = match (external, spec.run == Run::Driver) {
            (Some(holder), _) => (holder.owner, Some(crate::machine::words::named(holder))),
            (None, true) => (
                inner.facts.owner.unwrap_or(Owner::Docker),
                inner.facts.owner_detail.clone(),
            ),
            (None, false) if spec.run == Run::Watch => (
                inner.facts.owner.unwrap_or(Owner::Remote),
                inner.facts.owner_detail.clone(),
            ),
            (None, false) => (Owner::Cockpit, None),
        };
        let (mut state, mut since) = (worst.instance.state, worst.instance.since);
        if state == InstanceState::Ready
            && let Some((trouble, from)) = &inner.trouble
        {
            state = InstanceState::Degraded;
            since = since.max(*from);
            cause.clone_from(&trouble.cause);
        }
        let mut actions = actions(spec, &inner.slots);
        if inner.trouble.as_ref().is_some_and(|(one, _)| one.is_held)
            && !actions.contains(&Action::TakeOver)
        {
            actions.push(Action::TakeOver);
        }
        Service {
            name: self.name.clone(),
            kind: spec.kind.as_str().to_owned(),
            state,
            since,
            cause,
            owner,
            owner_detail,
            version: inner.facts.version.clone(),
            listen: spec.listen.clone(),
            instances: inner
                .slots
                .iter()
                .map(|slot| slot.instance.clone())
                .collect(),
            probe: worst.probe.clone(),
            heartbeat: worst.heartbeat.iter().copied().collect(),
            depends_on: spec.depends_on.clone(),
            manual_stop: inner.manual_stop,
            actions,
            detail: inner.facts.detail.clone(),
        }
    }

    /// Tells its view if something changed and it is time, or at once. `true` if something is left to be told.
    pub(crate) fn tell(&self, events: &EventSink, at_once: bool) -> bool {
        {
            let mut inner = lock(&self.inner);
            if !inner.dirty {
                return false;
            }
            let calm = inner.told.is_some_and(|told| told.elapsed() < CALM);
            if calm && !at_once {
                return true;
            }
            inner.dirty = false;
            inner.told = Some(Instant::now());
        }
        let service = Box::new(self.view());
        events(EventBody::Service { service });
        false
    }
}

fn actions(spec: &ServiceSpec, slots: &[Slot]) -> Vec<Action> {
    if spec.run == Run::Watch {
        return Vec::new();
    }
    let mut actions = Vec::new();
    if slots.iter().any(|slot| slot.external) {
        actions.push(Action::TakeOver);
        return actions;
    }
    let resting = |slot: &Slot| !slot.wanted;
    if slots.iter().any(resting) {
        actions.push(Action::Start);
    }
    if slots.iter().any(|slot| !resting(slot)) {
        actions.extend([Action::Stop, Action::Restart]);
    }
    if slots.iter().any(|slot| slot.holder.is_some()) {
        actions.push(Action::TakeOver);
    }
    actions
}

//! What is written down, as everybody but the ledger hears of it: the counters of `/metrics`, and whoever
//! looks. Whoever writes down (the gateway's adapters, the ingest) tells each once; none of it waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cockpit_metering::counters::Counters;
use cockpit_model::{Call, EventBody, Report};
use cockpit_telemetry::Bus;

/// More single calls are not told in one event.
const NEWEST: usize = 50;

/// See the module.
pub(super) struct Ended {
    bus: Bus,
    counters: Mutex<Counters>,
    lately: Mutex<Lately>,
}

/// Since it was last told.
#[derive(Default)]
struct Lately {
    ended: u64,
    /// Newest last.
    newest: VecDeque<Call>,
}

impl Ended {
    pub(super) fn new(bus: Bus) -> Self {
        Self {
            bus,
            counters: Mutex::default(),
            lately: Mutex::default(),
        }
    }

    /// A call has ended, and is written down. It is copied only while somebody looks.
    pub(super) fn note(&self, call: &Call) {
        self.counters().call(call);
        if self.bus.readers() <= super::follow::OWN_READERS {
            return;
        }
        let call = call.clone();
        let mut lately = self.lately();
        lately.ended += 1;
        if lately.newest.len() == NEWEST {
            lately.newest.pop_front();
        }
        lately.newest.push_back(call);
    }

    /// Something else was noticed or reported, and is written down.
    pub(super) fn note_report(&self, report: &Report) {
        self.counters().report(report);
    }

    /// Somebody was not let in.
    pub(super) fn note_refused(&self, code: &str, count: u64) {
        self.counters().refused(code, count);
    }

    /// What has been counted since the engine began.
    pub(super) fn counted(&self) -> Counters {
        self.counters().clone()
    }

    /// What ended since this was last asked; `None` when nothing did. Asked once a second.
    pub(super) fn told(&self) -> Option<EventBody> {
        let Lately { ended, newest } = std::mem::take(&mut *self.lately());
        (ended > 0).then(|| EventBody::Calls {
            ended,
            newest: newest.into_iter().rev().collect(),
        })
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        // The same holds.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        // Whole after a panic elsewhere: at worst a call is counted and not shown.
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use cockpit_model::{CallSource, Operation, Outcome, Timestamp};

    use super::*;

    fn call(n: u64) -> Call {
        Call {
            id: n.to_string(),
            at: Timestamp::UNIX_EPOCH,
            source: CallSource::Gateway,
            provider: "openai".to_owned(),
            model: "m".to_owned(),
            target: "openai/m".to_owned(),
            requested_model: None,
            route: None,
            operation: Operation::Chat,
            outcome: Outcome::Ok,
            error: None,
            status: None,
            finish_reason: None,
            user: None,
            agent: None,
            key: None,
            tags: Vec::new(),
            input_tokens: None,
            output_tokens: None,
            cached_input_tokens: None,
            cache_write_tokens: None,
            latency_ms: None,
            ttft_ms: None,
            streamed: false,
            attempts: 1,
            fallback: false,
            cache_hit: false,
            cost_usd: None,
            price_version: None,
        }
    }

    #[test]
    fn whoever_looks_is_told_how_many_and_the_newest_of_them_first() {
        let bus = Bus::new(0);
        let ended = Ended::new(bus.clone());
        let _own = bus.subscribe(None);
        ended.note(&call(0));
        assert!(ended.told().is_none(), "nobody looks");
        assert_eq!(ended.counted().targets().len(), 1, "but it counts");

        let _reader = bus.subscribe(None);
        assert!(ended.told().is_none(), "nothing ended");
        for n in 1..=120 {
            ended.note(&call(n));
        }
        let Some(EventBody::Calls {
            ended: count,
            newest,
        }) = ended.told()
        else {
            panic!("calls ended");
        };
        let ids: Vec<String> = newest.into_iter().map(|call| call.id).collect();
        let wanted: Vec<String> = (71..=120).rev().map(|n: u64| n.to_string()).collect();
        assert_eq!((count, ids), (120, wanted));
        assert!(ended.told().is_none(), "told once");
    }
}

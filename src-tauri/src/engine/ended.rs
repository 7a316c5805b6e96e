//! Calls that have ended, as everybody but the ledger hears of them. Whoever writes calls down
//! (the gateway's adapter, the ingest) tells each once; none of it waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cockpit_model::{Call, EventBody};
use cockpit_telemetry::Bus;

/// More single calls are not told in one event.
const NEWEST: usize = 50;

/// See the module.
pub(super) struct Ended {
    bus: Bus,
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
            lately: Mutex::default(),
        }
    }

    /// A call has ended. Costs a copy of it, and that only while somebody looks.
    pub(super) fn note(&self, call: &Call) {
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

    /// What ended since this was last asked; `None` when nothing did. Asked once a second.
    pub(super) fn told(&self) -> Option<EventBody> {
        let Lately { ended, newest } = std::mem::take(&mut *self.lately());
        (ended > 0).then(|| EventBody::Calls {
            ended,
            newest: newest.into_iter().rev().collect(),
        })
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

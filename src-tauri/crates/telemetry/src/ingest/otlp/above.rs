//! Which calls are around others: of two spans of calls to the same model of which one is within the other, the outer
//! one is a framework's, around its client's, and tells of the same tokens again.
//!
//! A span is told when it ends, the inner one first, and maybe in an earlier request than the outer one: so it is
//! remembered what is above a call until that is told too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use opentelemetry_proto::tonic::trace::v1::Span;

/// How far up it is looked for a span around, in one request.
const MOST_LEVELS: usize = 16;
/// Spans not told yet that are remembered; beyond them the oldest is forgotten, and may count beside what is in it.
const MOST: usize = 8192;
/// Models that are remembered of one.
const MOST_MODELS: usize = 8;

/// A trace's id and a span's.
pub(super) type Id = ([u8; 16], [u8; 8]);

pub(super) fn id(span: &Span) -> Option<Id> {
    within(&span.trace_id, &span.span_id)
}

fn parent(span: &Span) -> Option<Id> {
    within(&span.trace_id, &span.parent_span_id)
}

fn within(trace: &[u8], span: &[u8]) -> Option<Id> {
    Some((trace.try_into().ok()?, span.try_into().ok()?))
}

/// Spans that are above a call and were not told yet, and which models those calls are to. Bounded.
#[derive(Debug, Default)]
pub struct Above {
    models: HashMap<Id, Vec<u64>>,
    /// The oldest first.
    order: VecDeque<Id>,
    hasher: RandomState,
}

impl Above {
    /// Which of the calls of a request are around another. `inner` are all that asked a model, with the model: those
    /// calls, and what went through our gateway, which has accounted for it.
    pub(super) fn around<'a>(
        &mut self,
        spans: impl Iterator<Item = &'a Span>,
        inner: &[(&Span, &str)],
    ) -> HashSet<Id> {
        let mut around = HashSet::new();
        if self.models.is_empty() && inner.iter().all(|(span, _)| parent(span).is_none()) {
            return around;
        }
        let parents: HashMap<Id, Option<Id>> = spans
            .filter_map(|span| Some((id(span)?, parent(span))))
            .collect();
        let models: HashMap<Id, u64> = inner
            .iter()
            .filter_map(|(span, model)| Some((id(span)?, self.hasher.hash_one(model))))
            .collect();
        for (at, model) in self.begins(&parents, inner) {
            let mut next = Some(at);
            for _ in 0..MOST_LEVELS {
                let Some(at) = next else { break };
                if models.get(&at) == Some(&model) {
                    around.insert(at);
                }
                let Some(above) = parents.get(&at) else {
                    self.remember(at, model);
                    break;
                };
                next = *above;
            }
        }
        around
    }

    /// What is right above a call, here or in an earlier request.
    fn begins(&self, parents: &HashMap<Id, Option<Id>>, inner: &[(&Span, &str)]) -> Vec<(Id, u64)> {
        let here = inner.iter().filter_map(|(span, model)| {
            let above = parent(span).filter(|above| id(span) != Some(*above))?;
            Some((above, self.hasher.hash_one(model)))
        });
        let earlier = parents
            .keys()
            .filter_map(|id| Some((id, self.models.get(id)?)))
            .flat_map(|(id, models)| models.iter().map(|model| (*id, *model)));
        here.chain(earlier).collect()
    }

    fn remember(&mut self, id: Id, model: u64) {
        let models = self.models.entry(id).or_default();
        if models.is_empty() {
            self.order.push_back(id);
        }
        if models.len() < MOST_MODELS && !models.contains(&model) {
            models.push(model);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.models.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut above = Above::default();
        for n in 0..3 * MOST as u64 {
            let one = ([1; 16], n.to_be_bytes());
            above.remember(one, 1);
            for model in 0..20 {
                above.remember(one, model);
            }
        }
        assert_eq!((above.models.len(), above.order.len()), (MOST, MOST));
        let most = above.models.values().map(Vec::len).max();
        assert_eq!(most, Some(MOST_MODELS));
    }
}

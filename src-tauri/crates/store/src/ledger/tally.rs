//! What some calls amount to: sums, and how their latencies spread.
//!
//! All sums are whole numbers, so that they come out the same in whatever order and pieces they are
//! made.

use cockpit_metering::percentile::nearest_rank;
use cockpit_metering::sketch::{Corrupt, Dense, Sketch};
use cockpit_model::usage::{Percentiles, Security, Totals};
use cockpit_model::{Outcome, Report, ReportKind, Usd, is_unpriced};
use serde_json::Value;

use super::distinct::Distinct;
use super::row::{Row, millis};
use crate::encode::{put, take};

/// Scores are kept in millionths.
const SCORE_UNIT: f64 = 1e6;
const FIELDS: usize = 20;

/// Sums over calls and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    pub calls: u64,
    pub errors: u64,
    pub cancelled: u64,
    pub cache_hits: u64,
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    /// Calls whose cost is known.
    pub priced: u64,
    /// Picodollars.
    pub cost: u64,
    /// Calls whose cost is missing from that.
    pub unpriced: u64,
    /// Output tokens of successes that tell how long they were written …
    pub timed_tokens: u64,
    /// … and how long that was, in microseconds.
    pub writing_us: u64,
    pub tasks: u64,
    pub tasks_completed: u64,
    pub feedback: u64,
    /// Millionths.
    pub score: u64,
    pub failed_authentications: u64,
    pub unusual_access: u64,
    pub pii: u64,
    pub policy: u64,
}

impl Sums {
    fn fields(&self) -> [u64; FIELDS] {
        [
            self.calls,
            self.errors,
            self.cancelled,
            self.cache_hits,
            self.input,
            self.output,
            self.cached,
            self.priced,
            self.cost,
            self.unpriced,
            self.timed_tokens,
            self.writing_us,
            self.tasks,
            self.tasks_completed,
            self.feedback,
            self.score,
            self.failed_authentications,
            self.unusual_access,
            self.pii,
            self.policy,
        ]
    }

    fn of_fields(fields: [u64; FIELDS]) -> Self {
        let [
            calls,
            errors,
            cancelled,
            cache_hits,
            input,
            output,
            cached,
            priced,
            cost,
            unpriced,
            timed_tokens,
            writing_us,
            tasks,
            tasks_completed,
            feedback,
            score,
            failed_authentications,
            unusual_access,
            pii,
            policy,
        ] = fields;
        Self {
            calls,
            errors,
            cancelled,
            cache_hits,
            input,
            output,
            cached,
            priced,
            cost,
            unpriced,
            timed_tokens,
            writing_us,
            tasks,
            tasks_completed,
            feedback,
            score,
            failed_authentications,
            unusual_access,
            pii,
            policy,
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let mut fields = self.fields();
        for (ours, theirs) in fields.iter_mut().zip(other.fields()) {
            *ours = ours.saturating_add(theirs);
        }
        *self = Self::of_fields(fields);
    }

    /// Takes off what was merged; `None` if it cannot have been, or if a sum was too large to tell.
    fn take(&mut self, other: &Self) -> Option<()> {
        let mut fields = self.fields();
        for (ours, theirs) in fields.iter_mut().zip(other.fields()) {
            if *ours == u64::MAX {
                return None;
            }
            *ours = ours.checked_sub(theirs)?;
        }
        *self = Self::of_fields(fields);
        Some(())
    }

    pub(crate) fn add_report(&mut self, report: &Report) {
        match report.kind {
            ReportKind::Task => {
                if let Some(completed) = report.ok {
                    self.tasks += 1;
                    self.tasks_completed += u64::from(completed);
                }
            }
            ReportKind::Feedback => {
                if let Some(score) = report.score {
                    self.feedback += 1;
                    self.score += (score * SCORE_UNIT).round() as u64;
                }
            }
            ReportKind::Auth => {
                let (count, unusual) = found(report);
                match report.ok {
                    Some(false) => add(&mut self.failed_authentications, count),
                    _ if unusual => add(&mut self.unusual_access, count),
                    _ => {}
                }
            }
            ReportKind::Pii => add(&mut self.pii, found(report).0),
            ReportKind::Policy => add(&mut self.policy, found(report).0),
            ReportKind::Activity | ReportKind::Deploy | ReportKind::Custom => {}
        }
    }

    pub(crate) fn security(&self) -> Security {
        Security {
            failed_authentications: self.failed_authentications,
            unusual_access: self.unusual_access,
            pii_detections: self.pii,
            policy_violations: self.policy,
        }
    }

    /// The mean score.
    pub(crate) fn satisfaction(&self) -> Option<f64> {
        (self.feedback > 0).then(|| self.score as f64 / SCORE_UNIT / self.feedback as f64)
    }

    /// Appends how many fields follow, then those; zeros at the end are left out.
    fn encode(&self, out: &mut Vec<u8>) {
        let fields = self.fields();
        let many = FIELDS - fields.iter().rev().take_while(|field| **field == 0).count();
        out.push(many as u8);
        for field in fields.iter().take(many) {
            put(*field, out);
        }
    }

    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let (many, rest) = bytes.split_first()?;
        *bytes = rest;
        let mut fields = [0; FIELDS];
        for field in fields.get_mut(..usize::from(*many))? {
            *field = take(bytes)?;
        }
        Some(Self::of_fields(fields))
    }
}

fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

/// How many findings a report stands for (one, if it does not say), and whether they are of unusual access.
fn found(report: &Report) -> (u64, bool) {
    let body: Value = serde_json::from_str(&report.body).unwrap_or_default();
    let count = body.get("count").and_then(Value::as_u64);
    let what = body.get("what").and_then(Value::as_str);
    (
        count.unwrap_or(1),
        what.is_some_and(|what| what.starts_with("unusual_")),
    )
}

/// How values spread: all of them, or a sketch.
pub(crate) trait Spread: Default {
    fn add(&mut self, value: f64);
    fn merge(&mut self, other: &Self);
}

/// One that can say so.
pub(crate) trait Told: Spread {
    fn percentiles(&mut self) -> Percentiles;
    /// Forgets the values, and keeps the room that they took.
    fn clear(&mut self);
}

impl Spread for Sketch {
    fn add(&mut self, value: f64) {
        Sketch::add(self, value);
    }
    fn merge(&mut self, other: &Self) {
        Sketch::merge(self, other);
    }
}

impl Spread for Dense {
    fn add(&mut self, value: f64) {
        Dense::add(self, value);
    }
    fn merge(&mut self, other: &Self) {
        Dense::merge(self, other);
    }
}

impl Told for Dense {
    fn percentiles(&mut self) -> Percentiles {
        let [p50, p95, p99] = self.quantiles([0.50, 0.95, 0.99]);
        Percentiles {
            p50,
            p95,
            p99,
            exact: self.is_empty(),
        }
    }
    fn clear(&mut self) {
        Dense::clear(self);
    }
}

impl Spread for Vec<f64> {
    fn add(&mut self, value: f64) {
        self.push(value);
    }
    fn merge(&mut self, other: &Self) {
        self.extend_from_slice(other);
    }
}

impl Told for Vec<f64> {
    fn percentiles(&mut self) -> Percentiles {
        self.sort_by(f64::total_cmp);
        Percentiles {
            p50: nearest_rank(self, 0.50),
            p95: nearest_rank(self, 0.95),
            p99: nearest_rank(self, 0.99),
            exact: true,
        }
    }
    fn clear(&mut self) {
        Vec::clear(self);
    }
}

/// Sums, and the latencies of the successes in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally<S> {
    pub sums: Sums,
    pub latency: S,
    pub ttft: S,
    /// Who called or was active; kept of totals only.
    pub users: Distinct,
}

impl<S: Spread> Tally<S> {
    pub(crate) fn add(&mut self, row: &Row) {
        let sums = &mut self.sums;
        sums.calls += 1;
        match row.outcome {
            Outcome::Ok => {}
            Outcome::Error => sums.errors += 1,
            Outcome::Cancelled => sums.cancelled += 1,
        }
        sums.cache_hits += u64::from(row.cache_hit);
        let input = row.input.unwrap_or(0);
        let output = row.output.unwrap_or(0);
        sums.input = sums.input.saturating_add(input);
        sums.output = sums.output.saturating_add(output);
        sums.cached = sums.cached.saturating_add(row.cached.unwrap_or(0));
        match row.cost {
            Some(cost) => {
                sums.priced += 1;
                sums.cost = sums.cost.saturating_add(cost);
            }
            None => {
                let used = input > 0 || output > 0;
                let unpriced = is_unpriced(row.outcome, row.attempts, used, row.cache_hit);
                sums.unpriced += u64::from(unpriced);
            }
        }
        if !row.is_success() {
            return;
        }
        if let Some(us) = row.latency_us {
            self.latency.add(millis(us));
        }
        if let Some(us) = row.ttft_us {
            self.ttft.add(millis(us));
        }
        if let (Some(latency), Some(ttft), Some(tokens)) = (row.latency_us, row.ttft_us, row.output)
            && latency > ttft
        {
            sums.timed_tokens = sums.timed_tokens.saturating_add(tokens);
            sums.writing_us = sums.writing_us.saturating_add(latency - ttft);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sums.merge(&other.sums);
        self.latency.merge(&other.latency);
        self.ttft.merge(&other.ttft);
        self.users.merge(&other.users);
    }

    /// What it says, and forgets: another can be made in its place.
    pub(crate) fn take_totals(&mut self) -> Totals
    where
        S: Told,
    {
        let totals = self.totals();
        self.sums = Sums::default();
        self.latency.clear();
        self.ttft.clear();
        self.users = Distinct::default();
        totals
    }

    pub(crate) fn totals(&mut self) -> Totals
    where
        S: Told,
    {
        let sums = self.sums;
        Totals {
            calls: sums.calls,
            errors: sums.errors,
            cancelled: sums.cancelled,
            cache_hits: sums.cache_hits,
            input_tokens: sums.input,
            output_tokens: sums.output,
            cached_input_tokens: sums.cached,
            cost_usd: (sums.priced > 0 || sums.calls == 0)
                .then(|| Usd::from_pico(i64::try_from(sums.cost).unwrap_or(i64::MAX))),
            unpriced_calls: sums.unpriced,
            latency_ms: self.latency.percentiles(),
            ttft_ms: self.ttft.percentiles(),
            output_tokens_per_second: (sums.writing_us > 0)
                .then(|| sums.timed_tokens as f64 / (sums.writing_us as f64 / 1e6)),
        }
    }
}

/// The parts of an encoded tally.
pub(crate) struct Parts<'a> {
    pub sums: Sums,
    latency: &'a [u8],
    ttft: &'a [u8],
    users: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let sums = Sums::decode(&mut bytes)?;
        let mut piece = || {
            let length = usize::try_from(take(&mut bytes)?).ok()?;
            let (piece, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(piece)
        };
        let latency = piece()?;
        let ttft = piece()?;
        Some(Self {
            sums,
            latency,
            ttft,
            users: bytes,
        })
    }

    /// Adds its users to others.
    pub(crate) fn add_users(&self, to: &mut Distinct) {
        to.merge_encoded(self.users);
    }
}

/// A spread that encoded sketches can be added to.
pub(crate) trait Encoded: Spread {
    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Corrupt>;
}

impl Encoded for Sketch {
    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        Sketch::merge_encoded(self, bytes)
    }
}

impl Encoded for Dense {
    fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        Dense::merge_encoded(self, bytes)
    }
}

impl<S: Encoded> Tally<S> {
    /// Adds what [`Tally::encode`] wrote, without its users; `None` if the sketches are damaged.
    pub(crate) fn merge_parts(&mut self, parts: &Parts<'_>) -> Option<()> {
        self.sums.merge(&parts.sums);
        for (ours, theirs) in [
            (&mut self.latency, parts.latency),
            (&mut self.ttft, parts.ttft),
        ] {
            if !theirs.is_empty() {
                ours.merge_encoded(theirs).ok()?;
            }
        }
        Some(())
    }
}

impl Tally<Dense> {
    /// Takes off what [`Tally::merge_parts`] added; `None` if it cannot have. Then it is of no use any more.
    pub(crate) fn take_parts(&mut self, parts: &Parts<'_>) -> Option<()> {
        self.sums.take(&parts.sums)?;
        for (ours, theirs) in [
            (&mut self.latency, parts.latency),
            (&mut self.ttft, parts.ttft),
        ] {
            if !theirs.is_empty() {
                ours.take_encoded(theirs).ok()?;
            }
        }
        Some(())
    }
}

impl Tally<Sketch> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        self.sums.encode(&mut out);
        let mut sketch = Vec::new();
        for spread in [&self.latency, &self.ttft] {
            sketch.clear();
            if !spread.is_empty() {
                spread.encode(&mut sketch);
            }
            put(sketch.len() as u64, &mut out);
            out.extend_from_slice(&sketch);
        }
        self.users.encode(&mut out);
        out
    }
}

/// Whose report shows that its user was there: not what is reported about somebody.
pub(crate) fn active_user(report: &Report) -> Option<&str> {
    matches!(
        report.kind,
        ReportKind::Activity | ReportKind::Task | ReportKind::Feedback
    )
    .then_some(report.user.as_deref())
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_off_must_have_been_there_and_be_known() {
        let sums = |calls, input| Sums {
            calls,
            input,
            ..Sums::default()
        };
        let mut known = sums(7, 100);
        assert_eq!(known.take(&sums(3, 40)), Some(()));
        assert_eq!(known, sums(4, 60));
        assert_eq!(known.take(&sums(1, 61)), None);
        let mut beyond = sums(2, u64::MAX);
        beyond.merge(&sums(1, 5));
        assert_eq!(beyond.take(&sums(1, 5)), None);
    }
}

//! A call as it lies on the disk: about 70 bytes. Names are numbers of the `names` table, times whole
//! microseconds, money whole picodollars; what is not known takes no byte.
//!
//! ```text
//! u32      flags: the small enumerations, and which of the following are there
//! varints  nanoseconds beyond the millisecond, target, provider, attempts, then what is there in the
//!          order of the flags
//! varints  how many tags, each of them        (if flagged)
//! the rest the id: a UUID's 16 bytes, a hexadecimal number's bytes, or text
//! ```

use cockpit_model::{Call, CallSource, Operation, Outcome, Usd};

use crate::encode::{put, take};

/// A call with numbers for names. Its time is in its key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub sub_ns: u32,
    pub source: CallSource,
    pub operation: Operation,
    pub outcome: Outcome,
    pub streamed: bool,
    pub fallback: bool,
    pub cache_hit: bool,
    pub target: u32,
    pub provider: u32,
    /// Where it is not what follows the provider in the target.
    pub model: Option<u32>,
    pub requested_model: Option<u32>,
    pub route: Option<u32>,
    pub error: Option<u32>,
    pub finish_reason: Option<u32>,
    pub user: Option<u32>,
    pub agent: Option<u32>,
    pub key: Option<u32>,
    pub price_version: Option<u32>,
    pub status: Option<u32>,
    pub attempts: u32,
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cached: Option<u64>,
    pub cache_write: Option<u64>,
    pub latency_us: Option<u64>,
    pub ttft_us: Option<u64>,
    /// Picodollars.
    pub cost: Option<u64>,
}

const STREAMED: u32 = 1 << 6;
const FALLBACK: u32 = 1 << 7;
const CACHE_HIT: u32 = 1 << 8;
const FIRST_OPTION: u32 = 9;
const OPTIONS: usize = 17;
const TAGS: u32 = 1 << 26;
const ID_SHIFT: u32 = 27;
const ID_TEXT: u32 = 0;
const ID_UUID: u32 = 1;
const ID_HEX: u32 = 2;

const SOURCES: [CallSource; 3] = [CallSource::Gateway, CallSource::Events, CallSource::Otlp];
const OPERATIONS: [Operation; 4] = [
    Operation::Chat,
    Operation::Completion,
    Operation::Embeddings,
    Operation::Other,
];
const OUTCOMES: [Outcome; 3] = [Outcome::Ok, Outcome::Error, Outcome::Cancelled];

fn place<T: PartialEq>(of: &[T], value: &T) -> u32 {
    of.iter()
        .position(|one| one == value)
        .and_then(|place| u32::try_from(place).ok())
        .unwrap_or(0)
}

fn at_place<T: Copy>(of: &[T], flags: u32, shift: u32) -> Option<T> {
    of.get(((flags >> shift) & 3) as usize).copied()
}

impl Row {
    /// A call whose names `number` knows, or makes, the numbers of. Also its tags' numbers.
    pub(crate) fn of<E>(
        call: &Call,
        mut number: impl FnMut(&str) -> Result<u32, E>,
    ) -> Result<(Self, Vec<u32>), E> {
        let derived = call
            .target
            .strip_prefix(call.provider.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|model| model == call.model);
        let mut optional = |name: &Option<String>| name.as_deref().map(&mut number).transpose();
        let row = Self {
            requested_model: optional(&call.requested_model)?,
            route: optional(&call.route)?,
            error: optional(&call.error)?,
            finish_reason: optional(&call.finish_reason)?,
            user: optional(&call.user)?,
            agent: optional(&call.agent)?,
            key: optional(&call.key)?,
            price_version: optional(&call.price_version)?,
            target: number(&call.target)?,
            provider: number(&call.provider)?,
            model: (!derived).then(|| number(&call.model)).transpose()?,
            sub_ns: super::key::split(call.at).1,
            source: call.source,
            operation: call.operation,
            outcome: call.outcome,
            streamed: call.streamed,
            fallback: call.fallback,
            cache_hit: call.cache_hit,
            status: call.status.map(u32::from),
            attempts: call.attempts,
            input: call.input_tokens,
            output: call.output_tokens,
            cached: call.cached_input_tokens,
            cache_write: call.cache_write_tokens,
            latency_us: call.latency_ms.map(micros),
            ttft_us: call.ttft_ms.map(micros),
            cost: call.cost_usd.map(|cost| cost.pico().max(0).unsigned_abs()),
        };
        let tags = call
            .tags
            .iter()
            .map(|tag| number(tag))
            .collect::<Result<_, _>>()?;
        Ok((row, tags))
    }

    /// The call again; `name` knows the names of numbers.
    pub(crate) fn call<E>(
        &self,
        ms: i64,
        tail: &Tail,
        mut name: impl FnMut(u32) -> Result<String, E>,
    ) -> Result<Call, E> {
        let target = name(self.target)?;
        let provider = name(self.provider)?;
        let model = match self.model {
            Some(model) => name(model)?,
            None => target
                .get(provider.len() + 1..)
                .unwrap_or_default()
                .to_owned(),
        };
        let mut optional = |number: Option<u32>| number.map(&mut name).transpose();
        Ok(Call {
            requested_model: optional(self.requested_model)?,
            route: optional(self.route)?,
            error: optional(self.error)?,
            finish_reason: optional(self.finish_reason)?,
            user: optional(self.user)?,
            agent: optional(self.agent)?,
            key: optional(self.key)?,
            price_version: optional(self.price_version)?,
            tags: tail
                .tags
                .iter()
                .map(|tag| name(*tag))
                .collect::<Result<_, _>>()?,
            id: tail.id.clone(),
            at: super::key::time(ms, self.sub_ns),
            source: self.source,
            provider,
            model,
            target,
            operation: self.operation,
            outcome: self.outcome,
            status: self.status.and_then(|status| u16::try_from(status).ok()),
            input_tokens: self.input,
            output_tokens: self.output,
            cached_input_tokens: self.cached,
            cache_write_tokens: self.cache_write,
            latency_ms: self.latency_us.map(millis),
            ttft_ms: self.ttft_us.map(millis),
            streamed: self.streamed,
            attempts: self.attempts,
            fallback: self.fallback,
            cache_hit: self.cache_hit,
            cost_usd: self
                .cost
                .map(|cost| Usd::from_pico(i64::try_from(cost).unwrap_or(i64::MAX))),
        })
    }

    fn options(&self) -> [Option<u64>; OPTIONS] {
        [
            self.model.map(u64::from),
            self.requested_model.map(u64::from),
            self.route.map(u64::from),
            self.error.map(u64::from),
            self.finish_reason.map(u64::from),
            self.user.map(u64::from),
            self.agent.map(u64::from),
            self.key.map(u64::from),
            self.price_version.map(u64::from),
            self.status.map(u64::from),
            self.input,
            self.output,
            self.cached,
            self.cache_write,
            self.latency_us,
            self.ttft_us,
            self.cost,
        ]
    }

    /// Its bytes, with its tags and its id.
    pub(crate) fn encode(&self, tags: &[u32], id: &str, out: &mut Vec<u8>) {
        let options = self.options();
        let mut flags = place(&SOURCES, &self.source)
            | place(&OPERATIONS, &self.operation) << 2
            | place(&OUTCOMES, &self.outcome) << 4;
        for (set, flag) in [
            (self.streamed, STREAMED),
            (self.fallback, FALLBACK),
            (self.cache_hit, CACHE_HIT),
            (!tags.is_empty(), TAGS),
        ] {
            if set {
                flags |= flag;
            }
        }
        for (bit, option) in (FIRST_OPTION..).zip(&options) {
            flags |= u32::from(option.is_some()) << bit;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        for value in [self.sub_ns, self.target, self.provider, self.attempts] {
            put(u64::from(value), out);
        }
        for value in options.into_iter().flatten() {
            put(value, out);
        }
        if !tags.is_empty() {
            put(tags.len() as u64, out);
            for tag in tags {
                put(u64::from(*tag), out);
            }
        }
        flags |= encode_id(id, out) << ID_SHIFT;
        if let Some(head) = out.get_mut(start..start + 4) {
            head.copy_from_slice(&flags.to_le_bytes());
        }
    }

    /// Reads what [`Row::encode`] wrote; `None` if it is nothing of the kind.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, Rest<'_>)> {
        let (head, mut bytes) = bytes.split_first_chunk::<4>()?;
        let flags = u32::from_le_bytes(*head);
        let small = |bytes: &mut &[u8]| u32::try_from(take(bytes)?).ok();
        let sub_ns = small(&mut bytes)?;
        let target = small(&mut bytes)?;
        let provider = small(&mut bytes)?;
        let attempts = small(&mut bytes)?;
        let mut options = [None; OPTIONS];
        for (bit, option) in (FIRST_OPTION..).zip(&mut options) {
            if flags & (1 << bit) != 0 {
                *option = Some(take(&mut bytes)?);
            }
        }
        let [
            model,
            requested_model,
            route,
            error,
            finish_reason,
            user,
            agent,
            key,
            price_version,
            status,
            input,
            output,
            cached,
            cache_write,
            latency_us,
            ttft_us,
            cost,
        ] = options;
        let number = |option: Option<u64>| option.map(|value| value as u32);
        let row = Self {
            sub_ns,
            source: at_place(&SOURCES, flags, 0)?,
            operation: at_place(&OPERATIONS, flags, 2)?,
            outcome: at_place(&OUTCOMES, flags, 4)?,
            streamed: flags & STREAMED != 0,
            fallback: flags & FALLBACK != 0,
            cache_hit: flags & CACHE_HIT != 0,
            target,
            provider,
            model: number(model),
            requested_model: number(requested_model),
            route: number(route),
            error: number(error),
            finish_reason: number(finish_reason),
            user: number(user),
            agent: number(agent),
            key: number(key),
            price_version: number(price_version),
            status: number(status),
            attempts,
            input,
            output,
            cached,
            cache_write,
            latency_us,
            ttft_us,
            cost,
        };
        Some((row, Rest { flags, bytes }))
    }

    /// Whether it counts for the latencies: an answer that was not our cache's.
    pub(crate) fn is_success(&self) -> bool {
        self.outcome == Outcome::Ok && !self.cache_hit
    }
}

/// What follows the figures, not yet read: most readers do not need it.
pub(crate) struct Rest<'a> {
    flags: u32,
    bytes: &'a [u8],
}

/// Tags and id.
#[derive(Debug, PartialEq)]
pub(crate) struct Tail {
    pub tags: Vec<u32>,
    pub id: String,
}

impl Rest<'_> {
    pub(crate) fn read(&self) -> Option<Tail> {
        let mut bytes = self.bytes;
        let mut tags = Vec::new();
        if self.flags & TAGS != 0 {
            for _ in 0..take(&mut bytes)? {
                tags.push(u32::try_from(take(&mut bytes)?).ok()?);
            }
        }
        let id = decode_id((self.flags >> ID_SHIFT) & 3, bytes)?;
        Some(Tail { tags, id })
    }
}

fn micros(ms: f64) -> u64 {
    (ms * 1e3).round() as u64
}

pub(crate) fn millis(us: u64) -> f64 {
    us as f64 / 1e3
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Pairs of lower-case hexadecimal digits as bytes; `None` for anything else.
fn from_hex(text: impl Iterator<Item = u8>, out: &mut Vec<u8>) -> Option<()> {
    let mut high = None;
    for byte in text {
        let digit = nibble(byte)?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => out.push(high << 4 | digit),
        }
    }
    high.is_none().then_some(())
}

const UUID_DASHES: [usize; 4] = [8, 13, 18, 23];

fn encode_id(id: &str, out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    let bytes = id.as_bytes();
    if bytes.len() == 36 && UUID_DASHES.iter().all(|at| bytes.get(*at) == Some(&b'-')) {
        let digits = bytes
            .iter()
            .enumerate()
            .filter(|(at, _)| !UUID_DASHES.contains(at))
            .map(|(_, byte)| *byte);
        if from_hex(digits, out).is_some() {
            return ID_UUID;
        }
        out.truncate(start);
    }
    if from_hex(bytes.iter().copied(), out).is_some() {
        return ID_HEX;
    }
    out.truncate(start);
    out.extend_from_slice(bytes);
    ID_TEXT
}

fn decode_id(form: u32, bytes: &[u8]) -> Option<String> {
    if form == ID_TEXT {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    let mut id = String::with_capacity(bytes.len() * 2 + 4);
    for (at, byte) in bytes.iter().enumerate() {
        if form == ID_UUID && matches!(at, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            id.push(char::from_digit(u32::from(digit), 16)?);
        }
    }
    Some(id)
}

#[cfg(test)]
mod tests;

//! What passes on its way to the caller, taken along for whoever keeps it (the cache, and a person who wants prompts
//! kept) or judges it. Whether it was good is known only at the end.

use std::sync::Arc;

use bytes::Bytes;
use cockpit_metering::wire::Reading;
use cockpit_model::traffic::Target;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use tokio::time::Instant;

use crate::guard::Json;
use crate::memory::Share;
use crate::{cache, keep};

/// How much of a stream is taken along to be judged.
const LONGEST_JUDGED: usize = 1 << 20;

/// See the module.
pub(crate) struct Tap {
    cache: Option<cache::Slot>,
    keep: Option<keep::Slot>,
    json: Option<Arc<Json>>,
    begun: Begun,
    bytes: Vec<u8>,
    most: usize,
    share: Share,
    /// More passed than is taken along.
    over: bool,
}

/// How an answer began.
pub(crate) struct Begun {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) target: Target,
    pub(crate) streamed: bool,
}

impl Tap {
    /// One for an answer that has begun; `None`: nobody wants it.
    pub(crate) fn new(
        cache: Option<cache::Slot>,
        keep: Option<keep::Slot>,
        json: Option<Arc<Json>>,
        begun: Begun,
        share: Share,
    ) -> Option<Self> {
        let most = [
            cache.as_ref().map(|slot| slot.cache.largest()),
            keep.as_ref().map(|_| keep::MOST),
            json.as_ref().map(|_| LONGEST_JUDGED),
        ];
        Some(Self {
            most: most.into_iter().flatten().max()?,
            cache,
            keep,
            json,
            begun,
            share,
            bytes: Vec::new(),
            over: false,
        })
    }

    /// The answer passes unread: what it is nobody knows.
    pub(crate) fn unread(&mut self) {
        self.most = 0;
        self.over = true;
    }

    /// A piece passes.
    pub(crate) fn pass(&mut self, piece: &[u8]) {
        let room = self.most.saturating_sub(self.bytes.len());
        let taken = piece.get(..piece.len().min(room)).unwrap_or_default();
        self.over |= taken.len() < piece.len();
        if self.share.grow(taken.len()) {
            self.bytes.extend_from_slice(taken);
        } else {
            self.unread();
        }
    }

    /// The error of a streamed answer that was good otherwise. What is not all there is not judged.
    pub(crate) fn judge(&self, reading: &Reading) -> Option<&'static str> {
        let json = self.json.as_ref().filter(|_| !self.over)?;
        json.streamed(reading, &self.bytes)
    }

    /// The answer has ended: well, or not.
    pub(crate) fn end(self, well: bool, finish_reason: Option<String>) {
        let bytes = Bytes::from(self.bytes);
        if let Some(slot) = self.keep {
            slot.end(bytes.clone(), self.over);
        }
        if let Some(slot) = self.cache
            && well
            && !self.over
        {
            let kept = cache::Kept {
                status: self.begun.status,
                headers: self.begun.headers,
                body: bytes,
                target: self.begun.target,
                streamed: self.begun.streamed,
                finish_reason,
                born: Instant::now(),
            };
            slot.cache.put(slot.key, kept);
        }
    }
}

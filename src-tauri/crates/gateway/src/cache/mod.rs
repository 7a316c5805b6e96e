//! Equal requests answered from memory, where a person wants that.
//!
//! A request's [`key`] is everything that may make a difference to its answer, and whose it is. Only answers that were
//! whole, good and given by the first target are kept: an answer of a fallback would outlive the trouble it came from.
//! What is kept is what the caller got, byte for byte; a stream is given again as the same stream, at once.

pub(crate) mod key;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use cockpit_model::traffic::{CacheSpec, Target, TrafficSpec};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use quick_cache::sync::DefaultLifecycle;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::Instant;

use self::key::Key;

/// The largest answer that is kept, whatever the cache's size.
const LARGEST: usize = 8 << 20;
/// An answer may take this part of its cache, so that one does not drive out all others.
const PART: usize = 4;
/// What an entry takes besides its body.
const OVERHEAD: u64 = 512;
/// How often answers that are too old are looked for.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The caches in force: one for each size and time to live, so that whoever wants the same shares one.
#[derive(Default)]
pub(crate) struct Caches {
    all: RwLock<HashMap<CacheSpec, Arc<Cache>>>,
}

impl Caches {
    /// Takes new settings. A cache whose settings stay keeps what it has.
    pub(crate) fn obey(&self, spec: &TrafficSpec) {
        let rules =
            std::iter::once(&spec.rules).chain(spec.routes.iter().map(|route| &route.rules));
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *all);
        for spec in rules.filter_map(|rules| rules.cache) {
            let kept = before.remove(&spec);
            all.entry(spec)
                .or_insert_with(|| kept.unwrap_or_else(|| Arc::new(Cache::new(spec))));
        }
    }

    pub(crate) fn of(&self, spec: CacheSpec) -> Option<Arc<Cache>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&spec).cloned()
    }

    /// Lets go of what is too old.
    pub(crate) fn sweep(&self) {
        let all: Vec<_> = {
            let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
            all.values().cloned().collect()
        };
        let now = Instant::now();
        for cache in all {
            cache.sweep(now);
        }
    }
}

/// An answer that may be given again.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) status: StatusCode,
    /// Those that say what the body is.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who gave it.
    pub(crate) target: Target,
    pub(crate) streamed: bool,
    pub(crate) finish_reason: Option<String>,
    pub(crate) born: Instant,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, _: &Key, kept: &Arc<Kept>) -> u64 {
        kept.body.len() as u64 + OVERHEAD
    }
}

/// One cache.
pub(crate) struct Cache {
    ttl: Duration,
    largest: usize,
    entries: quick_cache::sync::Cache<Key, Arc<Kept>, Weight>,
}

impl Cache {
    fn new(spec: CacheSpec) -> Self {
        let size = usize::try_from(spec.max_bytes).unwrap_or(usize::MAX);
        let items = (size / (8 << 10)).clamp(16, 65_536);
        // In one piece: else each could hold only a part of the size.
        let entries = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(items)
            .weight_capacity(spec.max_bytes)
            .build()
            .map_or_else(
                |_| quick_cache::sync::Cache::with_weighter(items, spec.max_bytes, Weight),
                |options| {
                    quick_cache::sync::Cache::with_options(
                        options,
                        Weight,
                        DefaultHashBuilder::default(),
                        DefaultLifecycle::default(),
                    )
                },
            );
        Self {
            ttl: spec.ttl,
            largest: LARGEST.min(size / PART),
            entries,
        }
    }

    /// The longest body that is kept.
    pub(crate) const fn largest(&self) -> usize {
        self.largest
    }

    /// An answer that is there and young enough, also for its caller.
    pub(crate) fn get(&self, key: &Key, wish: Wish) -> Option<Arc<Kept>> {
        let kept = self.entries.get(key)?;
        let age = kept.born.elapsed();
        if age >= self.ttl {
            self.entries.remove(key);
            return None;
        }
        wish.max_age.is_none_or(|most| age <= most).then_some(kept)
    }

    pub(crate) fn put(&self, key: Key, kept: Kept) {
        if kept.body.len() <= self.largest {
            self.entries.insert(key, Arc::new(kept));
        }
    }

    fn sweep(&self, now: Instant) {
        self.entries
            .retain(|_, kept| now.duration_since(kept.born) < self.ttl);
    }
}

/// What a caller says of caches in `cache-control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Whether it takes an answer from one.
    pub(crate) read: bool,
    /// Whether its answer may be kept.
    pub(crate) write: bool,
    /// How old an answer it takes.
    max_age: Option<Duration>,
}

impl Wish {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self {
            read: true,
            write: true,
            max_age: None,
        };
        for value in headers.get_all(CACHE_CONTROL) {
            for word in value.to_str().unwrap_or("").split(',') {
                let word = word.trim().to_ascii_lowercase();
                match word.as_str() {
                    "no-store" => (wish.read, wish.write) = (false, false),
                    "no-cache" => wish.read = false,
                    _ => {
                        if let Some(seconds) = word.strip_prefix("max-age=")
                            && let Ok(seconds) = seconds.trim_matches('"').parse()
                        {
                            wish.max_age = Some(Duration::from_secs(seconds));
                        }
                    }
                }
            }
        }
        wish
    }
}

/// Where an answer is to be kept, once it is known to be good.
pub(crate) struct Slot {
    pub(crate) cache: Arc<Cache>,
    pub(crate) key: Key,
}

/// The headers that say what a body is. Others are of the one answer: its number, the vendor's limits.
pub(crate) fn lasting(headers: &HeaderMap) -> HeaderMap {
    let mut lasting = HeaderMap::new();
    for name in [hyper::header::CONTENT_TYPE, hyper::header::CONTENT_LANGUAGE] {
        if let Some(value) = headers.get(&name) {
            lasting.insert(name, value.clone());
        }
    }
    lasting
}

/// How old an answer is, as the header `age` says it.
pub(crate) fn age(kept: &Kept) -> HeaderValue {
    HeaderValue::from(kept.born.elapsed().as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn kept(size: usize) -> Kept {
        Kept {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(vec![b'x'; size]),
            target: Target {
                provider: "openai".to_owned(),
                model: "gpt-4o".to_owned(),
            },
            streamed: false,
            finish_reason: None,
            born: Instant::now(),
        }
    }

    const ANY: Wish = Wish {
        read: true,
        write: true,
        max_age: None,
    };

    fn cache(ttl: u64, max_bytes: u64) -> Cache {
        Cache::new(CacheSpec {
            ttl: Duration::from_secs(ttl),
            max_bytes,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_a_time() {
        let cache = cache(60, 1 << 20);
        cache.put(Key::from([1; 32]), kept(10));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(cache.get(&Key::from([1; 32]), ANY).is_some());
        let young = Wish {
            max_age: Some(Duration::from_secs(30)),
            ..ANY
        };
        assert!(cache.get(&Key::from([1; 32]), young).is_none());
        assert!(cache.get(&Key::from([2; 32]), ANY).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(cache.get(&Key::from([1; 32]), ANY).is_none());
        assert_eq!(cache.entries.len(), 0);

        cache.put(Key::from([3; 32]), kept(10));
        tokio::time::advance(Duration::from_secs(120)).await;
        cache.sweep(Instant::now());
        assert_eq!(cache.entries.len(), 0, "also of what nobody asks for");
    }

    #[tokio::test]
    async fn it_never_takes_more_than_it_may() {
        let cache = cache(60, 1 << 20);
        for n in 0..=255 {
            cache.put(Key::from([n; 32]), kept(50_000));
            assert!(cache.entries.weight() <= 1 << 20);
        }
        assert!(cache.entries.len() > 10);
        cache.put(Key::from([7; 32]), kept((1 << 20) / PART + 1));
        assert!(
            cache
                .entries
                .iter()
                .all(|(_, kept)| kept.body.len() == 50_000)
        );
    }

    #[tokio::test]
    async fn settings_that_stay_keep_what_is_there() {
        let of = |ttl| CacheSpec {
            ttl: Duration::from_secs(ttl),
            max_bytes: 1 << 20,
        };
        let mut spec = TrafficSpec {
            listen: ([127, 0, 0, 1], 0).into(),
            allowed_hosts: Vec::new(),
            rules: cockpit_model::traffic::Rules::default(),
            providers: Vec::new(),
            keys: Vec::new(),
            routes: Vec::new(),
            fronts: Vec::new(),
            limits: cockpit_model::traffic::CommonLimits::default(),
            budget: cockpit_model::traffic::Budget::default(),
        };
        spec.rules.cache = Some(of(60));
        let caches = Caches::default();
        caches.obey(&spec);
        let first = caches.of(of(60)).unwrap();
        caches.obey(&spec);
        assert!(Arc::ptr_eq(&first, &caches.of(of(60)).unwrap()));
        spec.rules.cache = Some(of(61));
        caches.obey(&spec);
        assert!(caches.of(of(60)).is_none() && caches.of(of(61)).is_some());
    }

    #[test]
    fn callers_say_what_they_want_of_it() {
        let wish = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
            Wish::of(&headers)
        };
        assert_eq!(Wish::of(&HeaderMap::new()), ANY);
        assert_eq!(wish("public, max-stale"), ANY);
        let no_cache = wish("No-Cache");
        assert!(!no_cache.read && no_cache.write);
        let no_store = wish("private, no-store");
        assert!(!no_store.read && !no_store.write);
        assert_eq!(wish("max-age=5").max_age, Some(Duration::from_secs(5)));
        assert_eq!(wish("max-age=soon"), ANY);
    }
}

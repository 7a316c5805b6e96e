//! A request's body on its way: unpacked, read, translated, kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use cockpit_model::Record;
use cockpit_panics::outlived;
use tokio::sync::Semaphore;

use super::{
    Above, Encoding, Malformed, Quota, Refused, Series, Signal, Translated, decode, logs, spans,
};
use crate::ingest::{Kept, Ledger, Setting, Unpacked, gunzip};

/// The most bytes of a body, unpacked.
pub(super) const MOST_BYTES: usize = 16 << 20;
/// Bodies that are read at once: each may grow tenfold when it is.
const READ_AT_ONCE: usize = 2;
/// Records that are kept in one go.
const AT_ONCE: usize = 10_000;

/// Takes OTLP. Outlives the doors through which it comes: a listener may change, the series go on.
pub struct Intake {
    ledger: Arc<dyn Ledger>,
    series: Mutex<Series>,
    quota: Mutex<Quota>,
    above: Mutex<Above>,
    reading: Semaphore,
}

/// Why a request is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The body is not what it is said to be.
    Malformed(String),
    /// There is too much of it.
    TooLarge,
    /// It could not be kept now.
    Later(String),
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

impl Intake {
    /// One that keeps records there.
    pub fn new(ledger: Arc<dyn Ledger>) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            series: Mutex::default(),
            quota: Mutex::default(),
            above: Mutex::default(),
            reading: Semaphore::new(READ_AT_ONCE),
        })
    }

    /// The series of metrics in Prometheus' text exposition format.
    pub fn exposition(&self) -> String {
        whole(&self.series).exposition(Instant::now())
    }

    /// Resolves once what can be kept is on the disk; answers what cannot.
    pub(super) async fn take(
        self: Arc<Self>,
        signal: Signal,
        encoding: Encoding,
        body: Bytes,
        gzip: bool,
    ) -> Result<Refused, Trouble> {
        let translated = {
            let turn = self.reading.acquire().await;
            let _turn = turn.map_err(|_| Trouble::Later("the cockpit ends".to_owned()))?;
            let (intake, setting) = (Arc::clone(&self), self.ledger.setting());
            let reading = tokio::task::spawn_blocking(move || {
                outlived(|| intake.read(signal, encoding, &body, gzip, &setting))
            });
            // A defect in reading is one of the body, as far as its sender can do anything about it.
            reading
                .await
                .unwrap_or_else(|error| Err(Trouble::Malformed(error.to_string())))?
        };
        let Translated {
            records,
            mut refused,
        } = translated;
        let mut left = records.into_iter();
        loop {
            let some: Vec<Record> = left.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(refused);
            }
            // What was kept before a failure counts once when it is sent again.
            let kept = self.ledger.keep(some).await;
            for kept in kept.map_err(|error| Trouble::Later(error.to_string()))? {
                if let Kept::Refused(reason) = kept {
                    refused.push(reason);
                }
            }
        }
    }

    fn read(
        &self,
        signal: Signal,
        encoding: Encoding,
        body: &[u8],
        gzip: bool,
        setting: &Setting,
    ) -> Result<Translated, Trouble> {
        let unpacked;
        let body = if gzip {
            unpacked = match gunzip(body, MOST_BYTES) {
                Unpacked::Whole(body) => body,
                Unpacked::TooLarge => return Err(Trouble::TooLarge),
                Unpacked::Damaged(why) => {
                    return Err(Trouble::Malformed(format!(
                        "the body is declared as gzip and is none: {why}"
                    )));
                }
            };
            &unpacked[..]
        } else {
            body
        };
        Ok(match signal {
            Signal::Traces => {
                let request = decode::traces(encoding, body)?;
                spans::translate(&request, setting, &mut whole(&self.above))
            }
            Signal::Logs => {
                let request = decode::logs(encoding, body)?;
                logs::translate(&request, setting, &mut whole(&self.quota), Instant::now())
            }
            Signal::Metrics => {
                let request = decode::metrics(encoding, body)?;
                Translated {
                    records: Vec::new(),
                    refused: whole(&self.series).take(&request, Instant::now()),
                }
            }
        })
    }
}

/// What these hold is replaced step by step, and each step leaves it fit for use.
fn whole<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What applications report: taken by the API and by the door for OTLP, kept in the ledger, told where a person should
//! see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cockpit_model::{Code, Ingested, Problem, Record, Timestamp};
use cockpit_store::ledger::Ack;
use cockpit_telemetry::ingest::events::{self, Unreadable};
use cockpit_telemetry::ingest::notices::Notice;
use cockpit_telemetry::ingest::{Address, Kept, NotKept, Prices, Setting, Unpacked, gunzip};
use tokio_util::sync::CancellationToken;

use super::{Engine, publish_at, whole};

/// How often it is looked whether something gathered is to be told.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Tells what was gathered of the reports, until told to stop.
pub(super) async fn watch(engine: Arc<Engine>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stopping.cancelled() => return,
        }
        engine.tell_due();
    }
}

/// `POST /api/events`.
pub(super) async fn events(
    engine: Arc<Engine>,
    body: Bytes,
    gzip: bool,
) -> Result<Ingested, Problem> {
    let setting = engine.setting();
    let reading = tokio::task::spawn_blocking(move || read(&body, gzip, &setting));
    let batch = reading.await.unwrap_or_else(|error| {
        Err(Problem::new(Code::Internal, "the events could not be read").detail(error.to_string()))
    })?;
    let (places, records): (Vec<usize>, Vec<Record>) = batch.records.into_iter().unzip();
    let kept = if records.is_empty() {
        Vec::new()
    } else {
        keep(&engine, records).await.map_err(|error| {
            Problem::new(
                Code::Storage,
                "the events could not be written; none of them is kept",
            )
            .detail(error.why)
            .remedy("send them again in a moment")
        })?
    };
    Ok(events::answer(&places, kept, batch.rejected))
}

fn read(body: &[u8], gzip: bool, setting: &Setting) -> Result<events::Batch, Problem> {
    let unpacked;
    let body = if gzip {
        unpacked = match gunzip(body, events::MOST_BYTES) {
            Unpacked::Whole(body) => body,
            Unpacked::TooLarge => {
                return Err(too_large(format!(
                    "at most {} bytes are taken at once, unpacked",
                    events::MOST_BYTES
                )));
            }
            Unpacked::Damaged(why) => {
                return Err(Problem::new(
                    Code::BadRequest,
                    "the body is declared as gzip and is none",
                )
                .detail(why)
                .remedy("leave `Content-Encoding` out, or pack the body"));
            }
        };
        &unpacked[..]
    } else {
        body
    };
    events::read(body, setting, rand::random()).map_err(|error| match error {
        Unreadable::TooMany(_) => too_large(error.to_string()),
        Unreadable::NotJson(_) => {
            Problem::new(Code::BadRequest, "the body holds no events").detail(error.to_string())
        }
    })
}

fn too_large(detail: String) -> Problem {
    Problem::new(Code::TooLarge, "these are too many events at once")
        .detail(detail)
        .remedy("send them in several requests")
}

impl Engine {
    /// What translating needs to know, as it is now.
    fn setting(&self) -> Setting {
        let settings = self.settings().clone();
        let traffic = settings.as_ref().and_then(|config| config.traffic.as_ref());
        // Where it is to listen, open or not: what was sent there is no call of anybody else's.
        let gateway = traffic.map(|spec| Address {
            ip: spec.listen.ip(),
            port: spec.listen.port(),
            names: spec.allowed_hosts.clone(),
        });
        Setting {
            now: Timestamp::now(),
            prices: Prices::of(traffic),
            gateway,
        }
    }
}

/// Resolves once they are on the disk.
async fn keep(engine: &Engine, records: Vec<Record>) -> Result<Vec<Kept>, NotKept> {
    // Kept aside, because the ledger takes the records.
    let aside = records.clone();
    let acks = engine.ledger.ingest(records).await;
    let acks = acks.map_err(|error| NotKept {
        why: error.to_string(),
    })?;
    let new = |place: usize| acks.get(place) == Some(&Ack::Accepted);
    let notices: Vec<Notice> = {
        let mut told = whole(&engine.notices);
        let now = Instant::now();
        let kept = aside.iter().enumerate().filter(|(place, _)| new(*place));
        kept.filter_map(|(_, record)| match record {
            Record::Report(report) => {
                engine.ended.note_report(report);
                told.kept(report, now)
            }
            Record::Call(call) => {
                engine.ended.note(call);
                None
            }
        })
        .collect()
    };
    engine.tell(notices);
    let kept = acks.into_iter().map(|ack| match ack {
        Ack::Accepted => Kept::New,
        Ack::Duplicate => Kept::Twice,
        Ack::Refused(why) => Kept::Refused(why),
    });
    Ok(kept.collect())
}

impl Engine {
    fn tell(&self, notices: Vec<Notice>) {
        let now = Timestamp::now();
        for notice in notices {
            // A reporter's clock may be ahead; a mark in the future would be one that nobody sees.
            let at = notice.at.map_or(now, |at| at.min(now));
            publish_at(&self.bus, &self.telemetry, at, notice.body);
        }
    }

    /// Tells what was gathered meanwhile.
    fn tell_due(&self) {
        let due = whole(&self.notices).due(Instant::now());
        self.tell(due);
    }
}

//! What applications report: taken by the API and by the door for OTLP, kept in the ledger, told where a person should
//! see it.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cockpit_model::{Code, EventBody, Ingested, Problem, Record, Timestamp};
use cockpit_panics::outlived;
use cockpit_store::ledger::{Ack, Told};
use cockpit_telemetry::ingest::events::{self, Unreadable};
use cockpit_telemetry::ingest::notices::Notice;
use cockpit_telemetry::ingest::otlp::{Door, Intake, Rules};
use cockpit_telemetry::ingest::{
    Address, Kept, Ledger, NotKept, Prices, Setting, Unpacked, gunzip,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Engine, publish_at, whole};

/// How often it is looked whether something gathered is to be told, and whether a port that somebody else had is free.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// OTLP's open door.
pub(super) struct Open {
    listen: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// Tells what was gathered of the reports, and opens the door for OTLP once what hindered it is gone, until told to
/// stop.
pub(super) async fn watch(engine: Arc<Engine>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stopping.cancelled() => return,
        }
        engine.tell_due();
        if whole(&engine.otlp_trouble).is_some() {
            let listen = engine.settings().as_ref().and_then(|config| config.otlp);
            obey(&engine, listen).await;
        }
    }
}

/// Does what the settings say: opens the door for OTLP, moves it, or closes it.
pub(super) async fn obey(engine: &Arc<Engine>, listen: Option<SocketAddr>) {
    let mut open = engine.otlp.lock().await;
    let Some(listen) = listen else {
        *whole(&engine.otlp_trouble) = None;
        if let Some(open) = open.take() {
            close(open).await;
        }
        return;
    };
    if open.as_ref().is_some_and(|open| open.listen == listen) {
        *whole(&engine.otlp_trouble) = None;
        return;
    }
    // The new one first: where it cannot open, the old one is better than none.
    match begin(engine, listen).await {
        Ok(opened) => {
            *whole(&engine.otlp_trouble) = None;
            if let Some(old) = open.replace(opened) {
                close(old).await;
            }
        }
        Err(message) => {
            let told = whole(&engine.otlp_trouble).replace(message.clone());
            if told.as_ref() != Some(&message) {
                tracing::error!("{message}");
                engine.publish(EventBody::Cockpit {
                    level: "error".to_owned(),
                    message,
                });
            }
        }
    }
}

/// Closes the door for OTLP; requests under way are answered, within bounds.
pub(super) async fn end(engine: &Engine) {
    if let Some(open) = engine.otlp.lock().await.take() {
        close(open).await;
    }
}

async fn close(open: Open) {
    open.stop.cancel();
    let _ = open.serving.await;
}

async fn begin(engine: &Arc<Engine>, listen: SocketAddr) -> Result<Open, String> {
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(error) => {
            let whose = holder_of(listen.port()).await;
            return Err(format!(
                "OTLP cannot be taken on {listen} ({error}){whose}; end that, or give another address with `listen` \
                 under [otlp]"
            ));
        }
    };
    let rules = Rules {
        listen,
        allowed_hosts: engine.opened_with.allowed_hosts.clone(),
        token: super::folder::token(&engine.data).map_err(|problem| problem.to_string())?,
    };
    let intake = engine
        .intake
        .get_or_init(|| Intake::new(Arc::new(Books(Arc::downgrade(engine)))));
    let door = Door::new(Arc::clone(intake), rules);
    tracing::info!(%listen, "OTLP is taken");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(door.serve(listener, stop.clone().cancelled_owned()));
    Ok(Open {
        listen,
        stop,
        serving,
    })
}

/// Who has a port, as it ends a sentence; empty where that is not known.
async fn holder_of(port: u16) -> String {
    let holder = cockpit_platform::ports::holder(port).await;
    holder.map_or_else(String::new, |holder| {
        let pid = holder
            .pid
            .map_or_else(String::new, |pid| format!(" (pid {pid})"));
        format!(": `{}`{pid} has the port", holder.name)
    })
}

/// The ledger, as OTLP's intake keeps records in it.
struct Books(Weak<Engine>);

impl Ledger for Books {
    fn setting(&self) -> Setting {
        self.0.upgrade().map_or_else(
            || Setting {
                now: Timestamp::now(),
                prices: Prices::default(),
                gateways: Vec::new(),
            },
            |engine| engine.setting(),
        )
    }

    fn keep(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<Kept>, NotKept>> {
        let engine = self.0.upgrade();
        async move {
            let engine = engine.ok_or_else(|| NotKept {
                why: "the engine ends".to_owned(),
            })?;
            let told = records.into_iter().map(|record| Told {
                record,
                undated: false,
            });
            keep(engine, told.collect()).await
        }
        .boxed()
    }
}

/// `POST /api/events`.
pub(super) async fn events(
    engine: Arc<Engine>,
    body: Bytes,
    gzip: bool,
) -> Result<Ingested, Problem> {
    let setting = engine.setting();
    let reading = tokio::task::spawn_blocking(move || outlived(|| read(&body, gzip, &setting)));
    let batch = reading.await.unwrap_or_else(|error| {
        Err(Problem::new(Code::Internal, "the events could not be read").detail(error.to_string()))
    })?;
    let told = |(place, record): (usize, Record)| {
        let undated = batch.undated.contains(&place);
        (place, Told { record, undated })
    };
    let (places, told): (Vec<usize>, Vec<Told>) = batch.records.into_iter().map(told).unzip();
    let kept = if told.is_empty() {
        Vec::new()
    } else {
        keep(engine, told).await.map_err(|error| {
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
        // Where it does listen: behind a door that is shut answers somebody else, who tells us of nothing.
        let names = traffic.map(|spec| spec.allowed_hosts.clone());
        let gateways = whole(&self.doors)
            .iter()
            .filter(|door| door.shut.is_none())
            .map(|door| Address {
                ip: door.listen.ip(),
                port: door.listen.port(),
                names: names.clone().unwrap_or_default(),
            })
            .collect();
        Setting {
            now: Timestamp::now(),
            prices: Prices::of(traffic, &self.prices.book),
            gateways,
        }
    }
}

/// Resolves once they are on the disk.
async fn keep(engine: Arc<Engine>, told: Vec<Told>) -> Result<Vec<Kept>, NotKept> {
    // In a task of its own: what reaches the disk is counted and told, though whoever sent it may have hung up.
    let keeping = tokio::spawn(async move { keep_and_tell(&engine, told).await });
    keeping.await.unwrap_or_else(|error| {
        Err(NotKept {
            why: error.to_string(),
        })
    })
}

async fn keep_and_tell(engine: &Engine, told: Vec<Told>) -> Result<Vec<Kept>, NotKept> {
    // Kept aside, because the ledger takes the records.
    let aside: Vec<Record> = told.iter().map(|told| told.record.clone()).collect();
    let acks = engine.ledger.ingest_told(told).await;
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

    /// The metrics that applications reported, in Prometheus' text exposition format.
    pub(super) fn reported_metrics(&self) -> String {
        self.intake
            .get()
            .map(|intake| intake.exposition())
            .unwrap_or_default()
    }

    /// Tells what was gathered meanwhile.
    fn tell_due(&self) {
        let due = whole(&self.notices).due(Instant::now());
        self.tell(due);
    }
}

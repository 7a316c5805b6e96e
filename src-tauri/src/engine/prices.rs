//! What vendors ask: the list that came with the program, or the one that was fetched last, and the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cockpit_config::PricesConfig;
use cockpit_metering::price::{PriceBook, PriceTable};
use cockpit_model::{EventBody, Timestamp};
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Engine, folder};

/// The list that was fetched last, as it came. Its age is the file's.
const FILE: &str = "prices.json";
/// Today's is two megabytes.
const LARGEST: usize = 32 << 20;
/// How long fetching may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// When to try again.
const AGAIN: Duration = Duration::from_hours(1);
/// How often it is looked how old it is: a machine that sleeps does not count the time.
const LOOK_EVERY: Duration = Duration::from_mins(5);

/// The prices in force, and where the next come from.
#[derive(Default)]
pub(super) struct List {
    pub(super) book: PriceBook,
    wanted: watch::Sender<Option<PricesConfig>>,
}

/// Does what the settings say: what was fetched before is in force when this is done.
pub(super) async fn obey(engine: &Arc<Engine>, wanted: Option<PricesConfig>) {
    let list = &engine.prices;
    let before = list.wanted.borrow().clone();
    match (&before, &wanted) {
        (None, Some(_)) => take_up(engine).await,
        (Some(_), None) => list.book.put(PriceTable::bundled().clone()),
        _ => {}
    }
    list.wanted.send_if_modified(|now| {
        let is_new = *now != wanted;
        *now = wanted;
        is_new
    });
}

/// Fetches them when they are old, until told to stop.
pub(super) async fn watch(engine: Arc<Engine>, stopping: CancellationToken) {
    let mut wanted = engine.prices.wanted.subscribe();
    let mut from: Option<String> = None;
    loop {
        let now = wanted.borrow_and_update().clone();
        // Whoever names another place wants what is there.
        let elsewhere = now
            .as_ref()
            .is_some_and(|now| from.as_ref().is_some_and(|from| *from != now.url));
        from = now.as_ref().map(|now| now.url.clone()).or(from);
        let fetching = async {
            match &now {
                Some(now) => keep_fresh(&engine, now, elsewhere).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = fetching => {}
            changed = wanted.changed() => if changed.is_err() { return },
            () = stopping.cancelled() => return,
        }
    }
}

async fn keep_fresh(engine: &Engine, wanted: &PricesConfig, mut at_once: bool) {
    let path = path(engine);
    let mut told = None;
    loop {
        if !at_once && age(&path).is_some_and(|age| age < wanted.refresh) {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        match renew(engine, &path, &wanted.url).await {
            Ok(()) => (at_once, told) = (false, None),
            Err(why) => {
                let message = format!(
                    "the list of prices at {} was not taken: {why}; the one before stays in force",
                    wanted.url
                );
                // Once: it is tried every hour.
                if told.as_ref() != Some(&message) {
                    tracing::warn!("{message}");
                    engine.publish(EventBody::Cockpit {
                        level: "warning".to_owned(),
                        message: message.clone(),
                    });
                    told = Some(message);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

fn path(engine: &Engine) -> PathBuf {
    engine.data.path().join(FILE)
}

/// How old it is; `None`: there is none. A clock that was set back makes it new.
fn age(path: &Path) -> Option<Duration> {
    let written = std::fs::metadata(path).ok()?.modified().ok()?;
    Some(written.elapsed().unwrap_or_default())
}

/// How a list of this hour is called: no two are fetched in one.
fn version(at: Timestamp) -> String {
    format!("litellm-{}", at.strftime("%Y-%m-%dT%HZ"))
}

/// Puts in force what was fetched before.
async fn take_up(engine: &Arc<Engine>) {
    let engine = Arc::clone(engine);
    let reading = tokio::task::spawn_blocking(move || {
        let path = path(&engine);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the list of prices cannot be read");
                return;
            }
        };
        let written = std::fs::metadata(&path).and_then(|data| data.modified());
        let at = written.ok().and_then(|at| Timestamp::try_from(at).ok());
        let version = version(at.unwrap_or_else(Timestamp::now));
        match PriceTable::bundled().refreshed(&text, &version) {
            Ok(table) => engine.prices.book.put(table),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the list of prices is fetched anew");
                let _ = std::fs::remove_file(&path);
            }
        }
    });
    if let Err(error) = reading.await {
        tracing::error!(%error, "the list of prices was not read");
    }
}

/// Fetches the list, keeps it, and puts it in force.
async fn renew(engine: &Engine, path: &Path, url: &str) -> Result<(), String> {
    let text = tokio::time::timeout(PATIENCE, fetch(url))
        .await
        .map_err(|_| format!("it did not come within {} s", PATIENCE.as_secs()))??;
    let (before, path) = (engine.prices.book.table(), path.to_owned());
    let taking = tokio::task::spawn_blocking(move || {
        let version = version(Timestamp::now());
        let table = before
            .refreshed(&text, &version)
            .map_err(|error| error.to_string())?;
        folder::replace(&path, &text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok::<_, String>(table)
    });
    let table = taking.await.map_err(|error| error.to_string())??;
    let message = format!(
        "the list of prices is new: {} of {} models",
        table.version(),
        table.len()
    );
    engine.prices.book.put(table);
    tracing::info!("{message}");
    engine.publish(EventBody::Cockpit {
        level: "info".to_owned(),
        message,
    });
    Ok(())
}

async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    // A proxy of the environment may be the only way out.
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(20))
        .user_agent(concat!("studio-cockpit/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(words)?;
    let answer = client.get(url).send().await.map_err(words)?;
    if !answer.status().is_success() {
        return Err(format!("the answer was {}", answer.status()));
    }
    let mut text = Vec::new();
    let mut coming = answer.bytes_stream();
    while let Some(piece) = coming.next().await {
        text.extend_from_slice(&piece.map_err(words)?);
        if text.len() > LARGEST {
            return Err(format!("it is larger than {} MiB", LARGEST >> 20));
        }
    }
    Ok(text)
}

/// The innermost cause says most.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

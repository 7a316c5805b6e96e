//! What vendors ask: the list that came with the program, or the one that was fetched last, and the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cockpit_config::PricesConfig;
use cockpit_metering::price::{PriceBook, PriceTable};
use cockpit_model::{EventBody, Timestamp};
use cockpit_presets::http_words;
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
                Some(now) => {
                    let list = Kept {
                        engine: &engine,
                        path: path(&engine),
                        url: &now.url,
                    };
                    keep_fresh(&list, now.refresh, elsewhere).await;
                }
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

/// A list that grows old, and is fetched anew.
trait Listed: Sync {
    /// How old it is; `None`: there is none.
    fn age(&self) -> impl Future<Output = Option<Duration>> + Send;
    /// Fetches it.
    fn renew(&self) -> impl Future<Output = Result<(), String>> + Send;
    /// Says why it was not fetched.
    fn failed(&self, why: &str);
}

async fn keep_fresh(list: &impl Listed, refresh: Duration, mut at_once: bool) {
    let mut told = None;
    loop {
        if !at_once && list.age().await.is_some_and(|age| age < refresh) {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        match list.renew().await {
            Ok(()) => (at_once, told) = (false, None),
            Err(why) => {
                // Once: it is tried every hour.
                if told.as_ref() != Some(&why) {
                    list.failed(&why);
                    told = Some(why);
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// The one that is kept in the data folder.
struct Kept<'a> {
    engine: &'a Engine,
    path: PathBuf,
    url: &'a str,
}

impl Listed for Kept<'_> {
    async fn age(&self) -> Option<Duration> {
        age(&self.path).await
    }

    async fn renew(&self) -> Result<(), String> {
        renew(self.engine, &self.path, self.url).await
    }

    fn failed(&self, why: &str) {
        let message = format!(
            "the list of prices at {} was not taken: {why}; the one before stays in force",
            self.url
        );
        tracing::warn!("{message}");
        self.engine.publish(EventBody::Cockpit {
            level: "warning".to_owned(),
            message,
        });
    }
}

fn path(engine: &Engine) -> PathBuf {
    engine.data.path().join(FILE)
}

/// How old it is; `None`: there is none. A clock that was set back makes it new.
async fn age(path: &Path) -> Option<Duration> {
    let written = tokio::fs::metadata(path).await.ok()?.modified().ok()?;
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
        .map_err(http_words)?;
    let answer = client.get(url).send().await.map_err(http_words)?;
    if !answer.status().is_success() {
        return Err(format!("the answer was {}", answer.status()));
    }
    let mut text = Vec::new();
    let mut coming = answer.bytes_stream();
    while let Some(piece) = coming.next().await {
        text.extend_from_slice(&piece.map_err(http_words)?);
        if text.len() > LARGEST {
            return Err(format!("it is larger than {} MiB", LARGEST >> 20));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::engine::whole;

    const DAY: Duration = Duration::from_hours(24);

    /// A list whose fetching ends as it is told, and who asks for it when.
    struct Told {
        began: Instant,
        written: Mutex<Option<Instant>>,
        outcomes: Mutex<VecDeque<Result<(), String>>>,
        asked: tokio::sync::mpsc::UnboundedSender<Duration>,
        said: Mutex<Vec<String>>,
    }

    impl Listed for Told {
        async fn age(&self) -> Option<Duration> {
            whole(&self.written).map(|at| at.elapsed())
        }

        async fn renew(&self) -> Result<(), String> {
            self.asked.send(self.began.elapsed()).unwrap();
            let outcome = whole(&self.outcomes).pop_front().unwrap_or(Ok(()));
            if outcome.is_ok() {
                *whole(&self.written) = Some(Instant::now());
            }
            outcome
        }

        fn failed(&self, why: &str) {
            whole(&self.said).push(why.to_owned());
        }
    }

    /// When the first of so many fetches came, of a list that is kept fresh, and what was said.
    async fn fetched(
        outcomes: &[Result<(), &str>],
        at_once: bool,
        count: usize,
    ) -> (Vec<Duration>, Vec<String>) {
        let (asked, mut when) = tokio::sync::mpsc::unbounded_channel();
        let own = |one: &Result<(), &str>| one.map_err(str::to_owned);
        let list = Told {
            began: Instant::now(),
            written: Mutex::new(at_once.then(Instant::now)),
            outcomes: Mutex::new(outcomes.iter().map(own).collect()),
            asked,
            said: Mutex::default(),
        };
        let mut times = Vec::new();
        let waiting = async {
            while times.len() < count {
                times.push(when.recv().await.unwrap());
            }
        };
        tokio::select! {
            () = keep_fresh(&list, DAY, at_once) => {}
            () = waiting => {}
        }
        let said = whole(&list.said).clone();
        (times, said)
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_fetched_is_tried_every_hour_and_told_once() {
        let outcomes = [Err("no network"), Err("no network"), Err("404"), Ok(())];
        let (times, said) = fetched(&outcomes, false, 5).await;
        let hours = [0, 1, 2, 3, 27].map(Duration::from_hours);
        assert_eq!(times, hours);
        assert_eq!(said, ["no network", "404"]);
    }

    #[tokio::test(start_paused = true)]
    async fn another_place_is_asked_at_once_until_it_has_answered() {
        let (times, _) = fetched(&[Err("no network"), Ok(())], true, 3).await;
        assert_eq!(times, [0, 1, 25].map(Duration::from_hours));
    }

    #[tokio::test]
    async fn a_list_without_end_is_not_taken() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/list", listener.local_addr().unwrap());
        let sending = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let piece = vec![b' '; 1 << 20];
            let mut sent = 0;
            while stream.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
            sent
        };
        let (sent, fetched) = tokio::join!(sending, fetch(&url));
        assert_eq!(fetched.unwrap_err(), "it is larger than 32 MiB");
        assert!(sent >= LARGEST - (1 << 20), "as much as is allowed: {sent}");
    }
}

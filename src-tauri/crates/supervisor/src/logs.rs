//! What services wrote: the last lines, and every further one.
//!
//! Our own instances' logs are read from their files; what others run is asked from the driver. Following reads the
//! files a few times a second in a blocking thread, and ends when the stream is dropped: nobody follows, nothing runs.

use std::path::PathBuf;
use std::time::Duration;

use cockpit_model::logs::{LogLine, LogQuery, Stream};
use cockpit_model::{Code, Problem, Timestamp};
use cockpit_shim::log as shim_log;
use cockpit_shim::log::reader::{Follow, tail};
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Files are looked at so often while somebody follows.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Lines that wait for a slow reader; then reading waits too.
const WAITING: usize = 1024;
/// The most lines of one answer.
const MOST: usize = 100_000;

/// An instance's log.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) instance: u16,
    pub(crate) path: PathBuf,
}

/// Where each source goes on.
type Places = Vec<(u16, Follow)>;

fn line_of(instance: u16, line: shim_log::Line) -> LogLine {
    LogLine {
        at: Timestamp::from_nanosecond(i128::from(line.at_nanos)).unwrap_or(Timestamp::UNIX_EPOCH),
        instance,
        stream: match line.stream {
            shim_log::Stream::Stdout => Stream::Stdout,
            shim_log::Stream::Stderr => Stream::Stderr,
            shim_log::Stream::Cockpit => Stream::Cockpit,
        },
        text: line.text,
    }
}

/// The last lines of all sources, merged by time; and where each goes on. Blocks.
fn read(sources: &[Source], query: &LogQuery) -> std::io::Result<(Vec<LogLine>, Places)> {
    let most = query.tail.min(MOST);
    let mut lines = Vec::new();
    let mut follows = Vec::new();
    for source in sources {
        let last = tail(&source.path, most, query.grep.as_deref())?;
        lines.extend(
            last.lines
                .into_iter()
                .map(|line| line_of(source.instance, line)),
        );
        follows.push((source.instance, Follow::from(&source.path, last.end)));
    }
    // Stable: lines of one instance keep their order.
    lines.sort_by_key(|line| line.at);
    let surplus = lines.len().saturating_sub(most);
    lines.drain(..surplus);
    Ok((lines, follows))
}

fn unreadable(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Storage, "the log cannot be read")
        .detail(error.to_string())
        .remedy("check that the log folder is readable")
}

/// The last lines that match, oldest first.
pub(crate) async fn last(sources: Vec<Source>, query: LogQuery) -> Result<Vec<LogLine>, Problem> {
    let read = tokio::task::spawn_blocking(move || read(&sources, &query)).await;
    let (lines, _) = read.map_err(unreadable)?.map_err(unreadable)?;
    Ok(lines)
}

/// The same, and then every further line that matches.
pub(crate) async fn follow(
    sources: Vec<Source>,
    query: LogQuery,
) -> Result<BoxStream<'static, LogLine>, Problem> {
    let needle = query.grep.as_ref().map(|text| text.to_lowercase());
    let first = tokio::task::spawn_blocking(move || read(&sources, &query)).await;
    let (lines, mut follows) = first.map_err(unreadable)?.map_err(unreadable)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        for line in lines {
            if sender.send(line).await.is_err() {
                return;
            }
        }
        loop {
            let reading = tokio::task::spawn_blocking(move || {
                let lines = more(&mut follows);
                (lines, follows)
            });
            let Ok((lines, back)) = reading.await else {
                return;
            };
            follows = back;
            let idle = lines.is_empty();
            for line in lines {
                let matches = needle
                    .as_ref()
                    .is_none_or(|n| line.text.to_lowercase().contains(n));
                if matches && sender.send(line).await.is_err() {
                    return;
                }
            }
            if idle {
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = sender.closed() => return,
                }
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn more(follows: &mut [(u16, Follow)]) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for (instance, follow) in follows {
        match follow.more() {
            Ok(new) => lines.extend(new.into_iter().map(|line| line_of(*instance, line))),
            // It goes on where it was, at the next look.
            Err(error) => tracing::debug!("a followed log cannot be read: {error}"),
        }
    }
    lines.sort_by_key(|line| line.at);
    lines
}

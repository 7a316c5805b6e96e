//! The end of a log file, and what is added to it: the way `tail -F` does, across rotations.

use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_model::Timestamp;
use cockpit_model::logs::{LogLine, LogQuery, Stream};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// How much of a file is looked through for the last lines.
const LOOK_BACK: u64 = 8 << 20;
/// How often a followed file is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// A line is cut here: a file without line ends must not fill the memory.
const LONGEST: usize = 64 << 10;

/// Whether a line is asked for.
pub(crate) fn wanted(query: &LogQuery, text: &str) -> bool {
    if query.instance.is_some_and(|instance| instance != 0) {
        return false;
    }
    match &query.grep {
        None => true,
        Some(grep) => text.to_lowercase().contains(&grep.to_lowercase()),
    }
}

/// The last lines of a file that are asked for, oldest first.
pub(crate) async fn tail(path: &Path, query: &LogQuery) -> io::Result<Vec<LogLine>> {
    Ok(read_end(path, query).await?.0)
}

/// The last lines, then every further one.
pub(crate) async fn follow(
    path: PathBuf,
    query: LogQuery,
) -> io::Result<BoxStream<'static, LogLine>> {
    let (last, place) = read_end(&path, &query).await?;
    let more = futures_util::stream::unfold(
        Follower {
            path,
            query,
            place,
            partial: Vec::new(),
            at: last.last().map(|line| line.at),
        },
        |mut follower| async move {
            let lines = follower.next().await;
            Some((futures_util::stream::iter(lines), follower))
        },
    )
    .flatten();
    Ok(futures_util::stream::iter(last).chain(more).boxed())
}

/// Where reading goes on.
#[derive(Debug, Clone, Copy)]
struct Place {
    inode: u64,
    offset: u64,
}

async fn read_end(path: &Path, query: &LogQuery) -> io::Result<(Vec<LogLine>, Place)> {
    let mut file = File::open(path).await?;
    let meta = file.metadata().await?;
    let from = meta.len().saturating_sub(LOOK_BACK);
    file.seek(SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    file.take(LOOK_BACK).read_to_end(&mut bytes).await?;
    let written = meta
        .modified()
        .ok()
        .and_then(|t| Timestamp::try_from(t).ok());
    // A half line at the end is the follower's to complete.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let text = bytes.get(..whole).unwrap_or_default();
    let mut lines = split(text, query, None, written.unwrap_or_else(Timestamp::now));
    if from > 0 && !lines.is_empty() {
        // Its beginning is cut off.
        lines.remove(0);
    }
    let surplus = lines.len().saturating_sub(query.tail);
    lines.drain(..surplus);
    let place = Place {
        inode: meta.ino(),
        offset: from + whole as u64,
    };
    Ok((lines, place))
}

struct Follower {
    path: PathBuf,
    query: LogQuery,
    place: Place,
    partial: Vec<u8>,
    at: Option<Timestamp>,
}

impl Follower {
    /// Waits for the next lines that are asked for.
    async fn next(&mut self) -> Vec<LogLine> {
        loop {
            match self.read_more().await {
                Ok(lines) if !lines.is_empty() => return lines,
                // Between two files of a rotation there may be none.
                Ok(_) | Err(_) => tokio::time::sleep(EVERY).await,
            }
        }
    }

    async fn read_more(&mut self) -> io::Result<Vec<LogLine>> {
        let mut file = File::open(&self.path).await?;
        let meta = file.metadata().await?;
        if meta.ino() != self.place.inode || meta.len() < self.place.offset {
            self.place = Place {
                inode: meta.ino(),
                offset: 0,
            };
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.place.offset)).await?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes).await?;
        self.place.offset += bytes.len() as u64;
        self.partial.extend_from_slice(&bytes);
        let whole = match self.partial.iter().rposition(|b| *b == b'\n') {
            Some(end) => end + 1,
            None if self.partial.len() > LONGEST => self.partial.len(),
            None => return Ok(Vec::new()),
        };
        let text: Vec<u8> = self.partial.drain(..whole).collect();
        let now = Timestamp::now();
        let lines = split(&text, &self.query, None, now);
        self.at = lines.last().map(|line| line.at).or(self.at);
        Ok(lines)
    }
}

/// Lines with their times: a line's own where it has one, else that of the line before, else
/// `otherwise`.
fn split(
    text: &[u8],
    query: &LogQuery,
    before: Option<Timestamp>,
    otherwise: Timestamp,
) -> Vec<LogLine> {
    let mut last = before;
    let mut lines = Vec::new();
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let line = line.get(..LONGEST).unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        last = time_of(text).or(last);
        if wanted(query, text) {
            lines.push(LogLine {
                at: last.unwrap_or(otherwise),
                instance: 0,
                stream: Stream::Stdout,
                text: text.to_owned(),
            });
        }
    }
    lines
}

/// A line's own time: RFC 3339 at its start, or after `time=` as Ollama writes it.
fn time_of(text: &str) -> Option<Timestamp> {
    let word = text.split_whitespace().next()?;
    let word = word.strip_prefix("time=").unwrap_or(word);
    word.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;
    use std::io::Write as _;

    fn query(tail: usize, grep: Option<&str>) -> LogQuery {
        LogQuery {
            tail,
            grep: grep.map(str::to_owned),
            instance: None,
        }
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[tokio::test]
    async fn the_last_lines_that_match() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "time=2026-03-03T09:14:07.000Z level=INFO one\nno time\nERROR three\nhalf",
        )
        .unwrap();
        let lines = tail(file.path(), &query(2, None)).await.unwrap();
        assert_eq!(texts(&lines), ["no time", "ERROR three"]);
        assert_eq!(lines[0].at.to_string(), "2026-03-03T09:14:07Z");
        let lines = tail(file.path(), &query(9, Some("error"))).await.unwrap();
        assert_eq!(texts(&lines), ["ERROR three"]);
        let mut other = query(9, None);
        other.instance = Some(1);
        assert!(tail(file.path(), &other).await.unwrap().is_empty());
        assert!(tail(Path::new("/no/such"), &query(1, None)).await.is_err());
    }

    #[tokio::test]
    async fn following_goes_on_through_half_lines_and_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.log");
        std::fs::write(&path, "old\nlast\n").unwrap();
        let mut lines = follow(path.clone(), query(1, None)).await.unwrap();
        assert_eq!(lines.next().await.unwrap().text, "last");
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(b"ha").unwrap();
        file.write_all(b"lf\nsecond\n").unwrap();
        assert_eq!(lines.next().await.unwrap().text, "half");
        assert_eq!(lines.next().await.unwrap().text, "second");
        std::fs::rename(&path, folder.path().join("server-1.log")).unwrap();
        std::fs::write(&path, "a new file\n").unwrap();
        assert_eq!(lines.next().await.unwrap().text, "a new file");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_lines(bytes: Vec<u8>) {
            let lines = split(&bytes, &query(10, None), None, Timestamp::UNIX_EPOCH);
            proptest::prop_assert!(lines.iter().all(|l| !l.text.contains('\n')));
        }
    }
}

//! What containers wrote: tailed and followed through the engine, merged by time.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use cockpit_model::logs::{LogLine, LogQuery, Stream};
use cockpit_model::{Problem, Timestamp};
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Engine, Seen, failed};
use crate::tail;

/// When only some lines are wanted, so many are looked through per container.
const GREP_DEPTH: usize = 20_000;

impl Engine {
    /// The last lines of all these containers together, oldest first; each names its container when
    /// there are several.
    ///
    /// # Errors
    /// [`cockpit_model::Code::DockerNotRunning`] when the engine fails to answer.
    pub async fn logs(
        &self,
        containers: &[Seen],
        query: &LogQuery,
    ) -> Result<Vec<LogLine>, Problem> {
        let mut lines = Vec::new();
        for container in containers {
            let prefix = prefix(container, containers.len());
            let depth = match query.grep {
                Some(_) => GREP_DEPTH.max(query.tail),
                None => query.tail,
            };
            let mut output = self.client.logs(&container.id, Some(options(depth, false)));
            let mut splitter = Splitter::new(prefix);
            while let Some(piece) = output.try_next().await.map_err(|e| failed(&e))? {
                lines.extend(splitter.take(piece));
            }
            lines.extend(splitter.rest());
        }
        lines.retain(|line| tail::wanted(query, &line.text));
        lines.sort_by_key(|line| line.at);
        let surplus = lines.len().saturating_sub(query.tail);
        lines.drain(..surplus);
        Ok(lines)
    }

    /// The last lines, then every further one of the containers that run now. Ends when the last of
    /// them does.
    pub fn follow(&self, containers: &[Seen], query: LogQuery) -> BoxStream<'static, LogLine> {
        let mut all = SelectAll::new();
        for container in containers {
            let prefix = prefix(container, containers.len());
            let output = self
                .client
                .logs(&container.id, Some(options(query.tail, true)))
                // What breaks off is over: the container or the engine ended.
                .take_while(|piece| futures_util::future::ready(piece.is_ok()))
                .filter_map(|piece| futures_util::future::ready(piece.ok()));
            let lines = output
                .scan(Splitter::new(prefix), |splitter, piece| {
                    futures_util::future::ready(Some(futures_util::stream::iter(
                        splitter.take(piece),
                    )))
                })
                .flatten();
            all.push(lines.boxed());
        }
        all.filter(move |line| futures_util::future::ready(tail::wanted(&query, &line.text)))
            .boxed()
    }
}

fn options(tail: usize, follow: bool) -> LogsOptions {
    LogsOptions {
        follow,
        stdout: true,
        stderr: true,
        timestamps: true,
        tail: tail.to_string(),
        ..LogsOptions::default()
    }
}

fn prefix(container: &Seen, of: usize) -> Option<String> {
    (of > 1).then(|| short_name(&container.view.name).to_owned())
}

/// `db` of `supabase_db_myapp`; other names as they are.
pub(crate) fn short_name(name: &str) -> &str {
    name.strip_prefix("supabase_")
        .and_then(|rest| SERVICES.iter().find(|s| is_service(rest, s)).copied())
        .unwrap_or(name)
}

fn is_service(rest: &str, service: &str) -> bool {
    rest.strip_prefix(service)
        .is_some_and(|after| after.is_empty() || after.starts_with('_'))
}

/// The containers of a Supabase project; longer names first where one begins another.
const SERVICES: [&str; 18] = [
    "analytics",
    "auth",
    "db",
    "edge_runtime",
    "imgproxy",
    "inbucket",
    "kong",
    "mailpit",
    "migra",
    "pg_meta",
    "pgsodium",
    "pooler",
    "realtime",
    "rest",
    "storage",
    "studio",
    "test",
    "vector",
];

/// Makes lines of the pieces a container's output comes in. A line may come in several pieces, and
/// several lines in one; each stream for itself.
struct Splitter {
    prefix: Option<String>,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// A line is cut here.
const LONGEST: usize = 64 << 10;

impl Splitter {
    const fn new(prefix: Option<String>) -> Self {
        Self {
            prefix,
            out: Vec::new(),
            err: Vec::new(),
        }
    }

    fn take(&mut self, piece: LogOutput) -> Vec<LogLine> {
        let (stream, buffer, bytes) = match piece {
            LogOutput::StdErr { message } => (Stream::Stderr, &mut self.err, message),
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => (Stream::Stdout, &mut self.out, message),
        };
        buffer.extend_from_slice(&bytes);
        let whole = match buffer.iter().rposition(|b| *b == b'\n') {
            Some(end) => end + 1,
            None if buffer.len() > LONGEST => buffer.len(),
            None => return Vec::new(),
        };
        let text: Vec<u8> = buffer.drain(..whole).collect();
        text.split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .filter_map(|line| self.line(line, stream))
            .collect()
    }

    /// What stands without a line end at the end.
    fn rest(&mut self) -> Vec<LogLine> {
        let out = std::mem::take(&mut self.out);
        let err = std::mem::take(&mut self.err);
        [(out, Stream::Stdout), (err, Stream::Stderr)]
            .into_iter()
            .filter_map(|(bytes, stream)| self.line(&bytes, stream))
            .collect()
    }

    /// `2026-03-03T09:14:07.123456789Z text`
    fn line(&self, bytes: &[u8], stream: Stream) -> Option<LogLine> {
        let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches('\r');
        let (at, text) = text.split_once(' ').unwrap_or((text, ""));
        let at = at.parse::<Timestamp>().ok()?;
        Some(LogLine {
            at,
            instance: 0,
            stream,
            text: match &self.prefix {
                Some(prefix) => format!("{prefix} | {text}"),
                None => text.to_owned(),
            },
        })
    }
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

    fn out(text: &'static str) -> LogOutput {
        LogOutput::StdOut {
            message: text.as_bytes().into(),
        }
    }

    #[test]
    fn pieces_become_lines() {
        let mut splitter = Splitter::new(Some("db".into()));
        assert!(splitter.take(out("2026-03-03T09:14:07.5Z he")).is_empty());
        let lines = splitter.take(out("llo\n2026-03-03T09:14:08Z two\r\n2026-"));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].text, "db | hello");
        assert_eq!(lines[0].at.to_string(), "2026-03-03T09:14:07.5Z");
        assert_eq!(lines[1].text, "db | two");
        let err = LogOutput::StdErr {
            message: "2026-03-03T09:14:09Z bad\n".into(),
        };
        assert_eq!(splitter.take(err)[0].stream, Stream::Stderr);
        splitter.take(out("03-03T09:14:10Z end"));
        assert_eq!(splitter.rest()[0].text, "db | end");
    }

    #[test]
    fn short_names() {
        assert_eq!(short_name("supabase_db_my_app"), "db");
        assert_eq!(short_name("supabase_edge_runtime_app"), "edge_runtime");
        assert_eq!(short_name("supabase_pg_meta_app"), "pg_meta");
        assert_eq!(short_name("redis"), "redis");
        assert_eq!(
            short_name("supabase_new_thing_app"),
            "supabase_new_thing_app"
        );
    }
}

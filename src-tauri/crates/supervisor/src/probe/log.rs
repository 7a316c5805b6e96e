//! `log`: the instance wrote a text since its process began. Once it did, it passes until the next start.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cockpit_model::Timestamp;
use cockpit_shim::log::reader::{Follow, tail};
use cockpit_shim::log::{Line, Stream};

/// So many last lines are looked through before the whole log is searched.
const RECENT: usize = 500;

/// What an instance wrote since its process began.
#[derive(Clone)]
pub(crate) struct Written {
    search: Arc<Mutex<Search>>,
}

struct Search {
    path: PathBuf,
    since_nanos: i64,
    follow: Option<Follow>,
    found: Option<String>,
}

impl Written {
    /// In the log at `path`, from `since` on. Nothing is opened before it is asked.
    pub(crate) fn since(path: PathBuf, since: Timestamp) -> Self {
        let search = Search {
            path,
            since_nanos: i64::try_from(since.as_nanosecond()).unwrap_or(0),
            follow: None,
            found: None,
        };
        Self {
            search: Arc::new(Mutex::new(search)),
        }
    }

    /// It was found already, by an engine before this one.
    pub(crate) fn remember(&self, text: String) {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        search.found = Some(text);
    }

    pub(super) async fn holds(&self, text: &str) -> Result<(), String> {
        let search = Arc::clone(&self.search);
        let wanted = text.to_owned();
        let found = tokio::task::spawn_blocking(move || {
            let mut search = search.lock().unwrap_or_else(PoisonError::into_inner);
            search.look(&wanted)
        })
        .await
        .map_err(|e| format!("the log could not be searched: {e}"))?;
        match found {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("`{text}` was not written yet")),
            Err(e) => Err(format!("the log cannot be read: {e}")),
        }
    }
}

impl Search {
    fn look(&mut self, text: &str) -> std::io::Result<bool> {
        if self.found.as_deref() == Some(text) {
            return Ok(true);
        }
        let mut found = false;
        if self.follow.is_none() {
            let recent = tail(&self.path, RECENT, None)?;
            found = recent.lines.iter().any(|line| self.is_it(line, text));
            let all_are_ours = recent
                .lines
                .first()
                .is_some_and(|l| l.at_nanos >= self.since_nanos);
            if !found && recent.lines.len() == RECENT && all_are_ours {
                let earlier = tail(&self.path, RECENT, Some(text))?;
                found = earlier.lines.iter().any(|line| self.is_it(line, text));
            }
            self.follow = Some(Follow::from(&self.path, recent.end));
        }
        while !found && let Some(follow) = &mut self.follow {
            let lines = follow.more()?;
            if lines.is_empty() {
                break;
            }
            found = lines.iter().any(|line| self.is_it(line, text));
        }
        if found {
            self.found = Some(text.to_owned());
            self.follow = None;
        }
        Ok(found)
    }

    fn is_it(&self, line: &Line, text: &str) -> bool {
        line.stream != Stream::Cockpit
            && line.at_nanos >= self.since_nanos
            && line.text.contains(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Write;

    #[test]
    fn only_what_this_process_wrote_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut file = std::fs::File::create(&path).unwrap();
        writeln!(file, "2026-11-23T06:00:00.000000000Z stdout F listening").unwrap();
        let since = "2026-11-23T06:00:01Z".parse().unwrap();
        let written = Written::since(path, since);
        let mut search = written.search.lock().unwrap();
        assert!(
            !search.look("listening").unwrap(),
            "a former process said it"
        );
        writeln!(file, "2026-11-23T06:00:02.000000000Z cockpit F listening").unwrap();
        assert!(!search.look("listening").unwrap(), "the cockpit said it");
        writeln!(
            file,
            "2026-11-23T06:00:03.000000000Z stderr F now listening on 3000"
        )
        .unwrap();
        assert!(search.look("listening").unwrap());
        assert!(search.look("listening").unwrap(), "it stays said");
    }
}

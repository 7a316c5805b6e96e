//! Every further line, over rotations, by asking again and again.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::tail::open_all;
use super::{Joiner, Line, MAX_RECORD};

/// Read at once.
const BLOCK: usize = 64 * 1024;
/// Read in one call of [`Follow::more`], so that one that is far behind keeps its memory bounded.
const AT_ONCE: usize = 1024 * 1024;

/// A place in a log. It holds the file open: so it stays this place when the file is renamed or deleted.
#[derive(Debug, Default)]
pub struct Position {
    file: Option<File>,
    offset: u64,
    /// Parts of lines before it, whose ends are behind it.
    pending: Joiner,
}

impl Position {
    /// Before everything: the oldest line that there is.
    #[must_use]
    pub fn start() -> Self {
        Self::default()
    }

    pub(super) fn new(file: Option<File>, offset: u64, pending: Joiner) -> Self {
        Self {
            file,
            offset,
            pending,
        }
    }
}

/// Reads on from a position.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    cutter: Cutter,
    joiner: Joiner,
}

impl Follow {
    /// From `position` in the log whose live file is `path`.
    #[must_use]
    pub fn from(path: &Path, position: Position) -> Self {
        Self {
            path: path.to_owned(),
            file: position.file,
            offset: position.offset,
            cutter: Cutter::default(),
            joiner: position.pending,
        }
    }

    /// The lines that were written since, oldest first, at most about a megabyte of them: ask again until there are
    /// none. A line that is not ended yet is given when it is. Files that were rotated away and deleted
    /// since the last call are missed.
    ///
    /// # Errors
    ///
    /// What the system says; asking again goes on where it was.
    pub fn more(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        let mut budget = AT_ONCE;
        loop {
            self.read(&mut budget, &mut lines)?;
            if budget == 0 {
                return Ok(lines);
            }
            let files = open_all(&self.path)?;
            let Some(next) = self.next_file(files)? else {
                return Ok(lines);
            };
            // Between our last read and the rotation something may have been written.
            self.read(&mut budget, &mut lines)?;
            if budget == 0 {
                return Ok(lines);
            }
            self.cutter = Cutter::default();
            self.file = Some(next);
            self.offset = 0;
        }
    }

    /// The file after the current one, if there is one.
    fn next_file(&self, mut files: Vec<File>) -> io::Result<Option<File>> {
        let Some(file) = &self.file else {
            return Ok(files.pop());
        };
        let own = file.metadata()?;
        for (i, file) in files.iter().enumerate() {
            let meta = file.metadata()?;
            if meta.ino() == own.ino() && meta.dev() == own.dev() {
                return Ok((i > 0).then(|| files.swap_remove(i - 1)));
            }
        }
        // The current one is gone: everything that is left is newer.
        Ok(files.pop())
    }

    fn read(&mut self, budget: &mut usize, lines: &mut Vec<Line>) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if file.metadata()?.size() < self.offset {
            // Emptied in place.
            self.offset = 0;
            self.cutter = Cutter::default();
        }
        let mut block = vec![0; BLOCK];
        while *budget > 0 {
            let n = match file.read_at(&mut block, self.offset) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.offset += u64::try_from(n).unwrap_or(0);
            *budget = budget.saturating_sub(n);
            let joiner = &mut self.joiner;
            self.cutter
                .push(block.get(..n).unwrap_or_default(), |line| {
                    lines.extend(joiner.push(line));
                });
        }
        Ok(())
    }
}

/// Cuts chunks into lines; one that is too long to be a record is left out.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    begun: Vec<u8>,
    too_long: bool,
}

impl Cutter {
    pub(super) fn push(&mut self, chunk: &[u8], mut line: impl FnMut(&[u8])) {
        let mut pieces = chunk.split(|&b| b == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let ended = pieces.peek().is_some();
            if self.begun.len() + piece.len() > MAX_RECORD {
                self.too_long = true;
                self.begun.clear();
            }
            match (ended, self.too_long) {
                (true, true) => {}
                (true, false) if self.begun.is_empty() => line(piece),
                (true, false) => {
                    self.begun.extend_from_slice(piece);
                    line(&self.begun);
                }
                (false, true) => {}
                (false, false) => self.begun.extend_from_slice(piece),
            }
            if ended {
                self.begun.clear();
                self.too_long = false;
            }
        }
    }

    /// What follows the last newline so far.
    pub(super) fn rest(&self) -> &[u8] {
        &self.begun
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::super::{Stream, Writer};
    use super::super::tail;
    use super::*;
    use crate::protocol::LogSpec;

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|l| l.text.clone()).collect()
    }

    #[test]
    fn a_follower_misses_and_repeats_nothing_over_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut writer = Writer::new(LogSpec {
            path: path.clone(),
            max_size: 400,
            keep: 30,
        });
        let mut write = |from: usize, to: usize| {
            for i in from..to {
                writer.record(1, Stream::Stdout, false, format!("line {i}").as_bytes());
                writer.flush();
            }
        };
        write(0, 10);
        let tail = tail(&path, 3, None).unwrap();
        assert_eq!(texts(&tail.lines), ["line 7", "line 8", "line 9"]);
        let mut follow = Follow::from(&path, tail.end);
        assert!(follow.more().unwrap().is_empty());
        let mut seen = Vec::new();
        for step in 1..10 {
            write(step * 10, step * 10 + 10);
            seen.extend(texts(&follow.more().unwrap()));
        }
        let all: Vec<String> = (10..100).map(|i| format!("line {i}")).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn a_long_line_is_followed_over_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut writer = Writer::new(LogSpec {
            path: path.clone(),
            max_size: 4000,
            keep: 3,
        });
        writer.record(5, Stream::Stderr, true, b"be");
        writer.record(6, Stream::Stdout, false, b"other");
        writer.flush();
        let tail = tail(&path, 9, None).unwrap();
        assert_eq!(texts(&tail.lines), ["other"]);
        let mut follow = Follow::from(&path, tail.end);
        writer.record(7, Stream::Stderr, false, b"gun");
        writer.flush();
        let more = follow.more().unwrap();
        assert_eq!(
            more,
            [Line {
                at_nanos: 5,
                stream: Stream::Stderr,
                text: "begun".into()
            }]
        );
    }

    #[test]
    fn a_log_that_comes_later_is_followed_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let tail = tail(&path, 9, None).unwrap();
        assert!(tail.lines.is_empty());
        let mut follow = Follow::from(&path, tail.end);
        assert!(follow.more().unwrap().is_empty());
        let mut writer = Writer::new(LogSpec {
            path,
            max_size: 4000,
            keep: 3,
        });
        writer.remark(7, "started pid 1");
        assert_eq!(texts(&follow.more().unwrap()), ["started pid 1"]);
    }
}

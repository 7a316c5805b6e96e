//! The last lines, over all files of a log, read backwards in blocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::super::lines::MAX_TEXT;
use super::super::record::{Record, parse};
use super::super::writer::rotated_files;
use super::{Joiner, Line, MAX_LINE, MAX_RECORD, Needle, Position, Stream};

/// Read at once.
const BLOCK: usize = 64 * 1024;
/// How far is read on, when there are enough lines, to see whether the oldest begin still earlier.
const LOOK_BACK: usize = 128 * 1024;

/// The last lines, and where following goes on.
#[derive(Debug)]
pub struct Tail {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Just behind the last record that was read; give it to [`super::Follow::from`] to miss and repeat nothing.
    pub end: Position,
}

/// The last `n` lines of the log whose live file is `path` (and whose rotated files are beside it); with `filter`
/// only those that hold this plain text, letters of either case alike.
///
/// A log that does not exist has no lines. With a filter that matches little, all files are read, in blocks.
///
/// # Errors
///
/// What the system says about a file that is there but cannot be read.
pub fn tail(path: &Path, n: usize, filter: Option<&str>) -> io::Result<Tail> {
    let needle = filter.and_then(Needle::new);
    let files = open_all(path)?;
    let end = match files.first() {
        Some(file) => whole_lines(file, file.metadata()?.size())?,
        None => 0,
    };
    let mut collector = Collector::new(n, needle);
    for (i, file) in files.iter().enumerate() {
        let size = if i == 0 { end } else { file.metadata()?.size() };
        if backwards(file, size, |line| collector.push(line))? {
            break;
        }
    }
    let (lines, pending) = collector.finish();
    Ok(Tail {
        lines,
        end: Position::new(files.into_iter().next(), end, pending),
    })
}

/// The live file and then the rotated ones, newest first, all open before anything is read; a rotation in between
/// may show one file under two names, which is then taken once.
pub(super) fn open_all(path: &Path) -> io::Result<Vec<File>> {
    let mut names = vec![path.to_owned()];
    names.extend(rotated_files(path)?.into_iter().map(|(_, path)| path));
    let mut seen = Vec::new();
    let mut files = Vec::new();
    for name in names {
        let file = match File::open(&name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let meta = file.metadata()?;
        let id = (meta.dev(), meta.ino());
        if meta.is_file() && !seen.contains(&id) {
            seen.push(id);
            files.push(file);
        }
    }
    Ok(files)
}

/// The length without what follows the last newline.
fn whole_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut end = size;
    let mut block = vec![0; BLOCK.min(4096)];
    while end > 0 {
        let start = end.saturating_sub(u64::try_from(block.len()).unwrap_or(1));
        let n = read_at(file, &mut block, start, end)?;
        if let Some(i) = block
            .get(..n)
            .and_then(|b| b.iter().rposition(|&b| b == b'\n'))
        {
            return Ok(start + u64::try_from(i + 1).unwrap_or(0));
        }
        end = start;
    }
    Ok(0)
}

/// Reads `start..end`, or less if the file has become shorter.
fn read_at(file: &File, block: &mut [u8], start: u64, end: u64) -> io::Result<usize> {
    let want = usize::try_from(end - start).unwrap_or(usize::MAX);
    let want = want.min(block.len());
    let mut have = 0;
    while let Some(rest @ [_, ..]) = block.get_mut(have..want) {
        match file.read_at(rest, start + u64::try_from(have).unwrap_or(0)) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}

/// Gives the lines of `file` before `size`, the last one first, until `done` says so; whether it did.
fn backwards(file: &File, size: u64, mut done: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut block = vec![0; BLOCK];
    // The end of a line whose beginning was not read yet; `None` for one too long to be a record.
    let mut rest: Option<Vec<u8>> = Some(Vec::new());
    let mut end = size;
    let mut first = true;
    while end > 0 {
        let start = end.saturating_sub(u64::try_from(BLOCK).unwrap_or(1));
        let n = read_at(file, &mut block, start, end)?;
        let mut bytes = block.get(..n).unwrap_or_default();
        while let Some(i) = bytes.iter().rposition(|&b| b == b'\n') {
            let tail = bytes.get(i + 1..).unwrap_or_default();
            // What follows the last newline of all: a line whose end is missing, or nothing.
            if let Some(line) = rest.take().and_then(|rest| join(tail, &rest))
                && !(first && line.is_empty())
                && done(&line)
            {
                return Ok(true);
            }
            first = false;
            rest = Some(Vec::new());
            bytes = bytes.get(..i).unwrap_or_default();
        }
        rest = rest.take().and_then(|rest| join(bytes, &rest));
        end = start;
    }
    Ok(rest.is_some_and(|line| !line.is_empty() && done(&line)))
}

fn join(head: &[u8], tail: &[u8]) -> Option<Vec<u8>> {
    (head.len() + tail.len() <= MAX_RECORD).then(|| [head, tail].concat())
}

/// Takes records, newest first, and keeps the newest `n` lines that match.
///
/// A line stands where its last part stands. Whether it has earlier parts is known only when the record of the same
/// stream before it was read; until then its slot is open.
#[derive(Debug)]
struct Collector {
    n: usize,
    needle: Option<Needle>,
    /// Oldest first, as the lines will be.
    slots: VecDeque<Slot>,
    /// Closed slots; all of them match.
    matched: usize,
    open: usize,
    /// Per stream: the newest parts of a line whose end was not written yet, newest first.
    unfinished: [Vec<Vec<u8>>; 3],
    /// Per stream: the end of a line was seen.
    seen: [bool; 3],
    /// Bytes read since there would be enough lines, were all slots closed.
    looked_back: usize,
}

#[derive(Debug)]
enum Slot {
    Open {
        stream: Stream,
        /// Newest first.
        parts: Vec<Vec<u8>>,
        bytes: usize,
    },
    Closed(Line),
}

impl Slot {
    fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    fn is_open_of(&self, wanted: Stream) -> bool {
        matches!(self, Self::Open { stream, .. } if *stream == wanted)
    }
}

impl Collector {
    fn new(n: usize, needle: Option<Needle>) -> Self {
        Self {
            n,
            needle,
            slots: VecDeque::new(),
            matched: 0,
            open: 0,
            unfinished: Default::default(),
            seen: [false; 3],
            looked_back: 0,
        }
    }

    /// Takes the record before; whether there are enough lines.
    fn push(&mut self, bytes: &[u8]) -> bool {
        if self.n == 0 {
            return true;
        }
        if let Some(Record {
            stream, partial, ..
        }) = parse(bytes)
        {
            if partial {
                self.part(stream, bytes);
            } else {
                self.close(|slot| slot.is_open_of(stream));
                self.slots.push_front(Slot::Open {
                    stream,
                    parts: vec![bytes.to_vec()],
                    bytes: bytes.len(),
                });
                self.open += 1;
                if let Some(seen) = self.seen.get_mut(index(stream)) {
                    *seen = true;
                }
            }
        }
        self.is_done(bytes.len())
    }

    fn part(&mut self, stream: Stream, record: &[u8]) {
        let slot = self.slots.iter_mut().find(|slot| slot.is_open_of(stream));
        if let Some(Slot::Open { parts, bytes, .. }) = slot {
            *bytes += record.len();
            parts.push(record.to_vec());
            // A line keeps its beginning, so of too many parts the newest go.
            while *bytes > MAX_LINE + MAX_RECORD && parts.len() > 1 {
                *bytes -= parts.remove(0).len();
            }
        } else if self.seen.get(index(stream)) == Some(&false)
            && let Some(parts) = self.unfinished.get_mut(index(stream))
            && parts.len() <= MAX_LINE / MAX_TEXT
        {
            parts.push(record.to_vec());
        }
    }

    fn is_done(&mut self, read: usize) -> bool {
        if self.matched + self.open < self.n {
            return false;
        }
        // The newest n are closed: an older open one does not matter.
        let closed = self
            .slots
            .iter()
            .rev()
            .take_while(|slot| !slot.is_open())
            .count();
        if closed >= self.n {
            return true;
        }
        self.looked_back += read;
        if self.looked_back > LOOK_BACK {
            self.looked_back = 0;
            self.close(Slot::is_open);
        }
        self.matched >= self.n && self.open == 0
    }

    /// Joins the parts of such open slots; those that do not match go.
    fn close(&mut self, which: impl Fn(&Slot) -> bool) {
        while let Some(i) = self.slots.iter().position(&which) {
            let Some(Slot::Open { parts, .. }) = self.slots.remove(i) else {
                return;
            };
            self.open -= 1;
            let mut joiner = Joiner::default();
            let line = parts
                .iter()
                .rev()
                .filter_map(|part| joiner.push(part))
                .last();
            let matches = |line: &Line| self.needle.as_ref().is_none_or(|n| n.is_in(&line.text));
            if let Some(line) = line.filter(matches) {
                self.slots.insert(i, Slot::Closed(line));
                self.matched += 1;
            }
        }
    }

    /// The lines, and the parts that the log ends with.
    fn finish(mut self) -> (Vec<Line>, Joiner) {
        self.close(Slot::is_open);
        let mut pending = Joiner::default();
        for part in self.unfinished.iter().flat_map(|parts| parts.iter().rev()) {
            pending.push(part);
        }
        let mut lines: Vec<Line> = self
            .slots
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Closed(line) => Some(line),
                Slot::Open { .. } => None,
            })
            .collect();
        (lines.split_off(lines.len().saturating_sub(self.n)), pending)
    }
}

fn index(stream: Stream) -> usize {
    usize::from(stream.code()) - 1
}

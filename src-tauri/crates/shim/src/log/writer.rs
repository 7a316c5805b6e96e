//! Writes a log with a strict bound on the disk: at most `max_size × (keep + 1)` bytes over all its files.
//!
//! Records are gathered and written in one `write` per chunk; a record is never split over two files, so the reader
//! finds its head. What cannot be written (a full disk, an unwritable folder) is dropped and counted, never waited
//! for: the child must not notice. When writing works again, one remark says what is missing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Stream;
use super::lines::MAX_TEXT;
use super::record::{MAX_HEAD, write_head, write_time};
use crate::protocol::LogSpec;

/// Written out when this much is gathered.
const BATCH: usize = 64 * 1024;
/// How often writing is tried again after it failed.
const RETRY: Duration = Duration::from_millis(250);
/// How often it is looked whether the file was deleted or moved away by someone else.
const CHECK: Duration = Duration::from_secs(2);

/// Whether the log is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it is not.
    pub problem: Option<String>,
    /// Lines dropped since the beginning.
    pub dropped_lines: u64,
}

/// The writer of one log.
#[derive(Debug)]
pub struct Writer {
    spec: LogSpec,
    file: Option<Open>,
    /// Whole records that are not written yet, and how many.
    batch: Vec<u8>,
    records: u64,
    time: (i64, Vec<u8>),
    failure: Option<Failure>,
    dropped_lines: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Its bytes, all of them whole records.
    size: u64,
    checked: Instant,
}

#[derive(Debug)]
struct Failure {
    error: String,
    retry: Instant,
    lines: u64,
}

impl Writer {
    /// A writer; the file is opened, and created, with the first record.
    #[must_use]
    pub fn new(spec: LogSpec) -> Self {
        Self {
            spec,
            file: None,
            batch: Vec::new(),
            records: 0,
            time: (0, Vec::new()),
            failure: None,
            dropped_lines: 0,
        }
    }

    /// Where it writes, and the bounds.
    #[must_use]
    pub fn spec(&self) -> &LogSpec {
        &self.spec
    }

    /// Writes elsewhere, or with other bounds, from now on.
    pub fn set(&mut self, spec: LogSpec) {
        if spec != self.spec {
            self.flush();
            self.file = None;
            self.spec = spec;
            if let Some(failure) = &mut self.failure {
                failure.retry = Instant::now();
            }
        }
    }

    /// The longest text that a record may have here.
    #[must_use]
    pub fn max_text(&self) -> usize {
        let room = usize::try_from(self.spec.max_size).unwrap_or(usize::MAX);
        MAX_TEXT.min(room.saturating_sub(MAX_HEAD + 1))
    }

    /// Gathers one record. `text` holds no newline and is at most [`Writer::max_text`] long.
    pub fn record(&mut self, at_nanos: i64, stream: Stream, partial: bool, text: &[u8]) {
        if text.len() > self.max_text() {
            // Only if a file may not even hold one byte.
            self.dropped_lines += 1;
            return;
        }
        if self.time.0 != at_nanos || self.time.1.is_empty() {
            self.time.0 = at_nanos;
            self.time.1.clear();
            write_time(at_nanos, &mut self.time.1);
        }
        let record = MAX_HEAD + text.len() + 1;
        if self.batch.len() + record > self.batch_limit() {
            self.flush();
        }
        write_head(&self.time.1, stream, partial, &mut self.batch);
        self.batch.extend_from_slice(text);
        self.batch.push(b'\n');
        self.records += 1;
    }

    /// Writes a line of the cockpit's own.
    pub fn remark(&mut self, at_nanos: i64, text: &str) {
        let mut limit = self.max_text().min(text.len());
        while !text.is_char_boundary(limit) {
            limit -= 1;
        }
        let text = text.get(..limit).unwrap_or_default();
        for line in text.lines() {
            self.record(at_nanos, Stream::Cockpit, false, line.as_bytes());
        }
        self.flush();
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.failure.as_ref().is_some_and(|f| now < f.retry) {
            self.drop_batch(None);
            return;
        }
        match self.try_flush(now) {
            Ok(()) => {
                self.batch.clear();
                self.records = 0;
            }
            Err(e) => self.drop_batch(Some((e, now))),
        }
        // A burst's memory is given back; a quiet log needs a page.
        self.batch.shrink_to(BATCH);
    }

    /// Whether the log is written.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            problem: self
                .failure
                .as_ref()
                .map(|f| format!("cannot write {}: {}", self.spec.path.display(), f.error)),
            dropped_lines: self.dropped_lines,
        }
    }

    /// A batch of more than one record fits into what is left of the file: so files are filled, and a batch is
    /// one `write`.
    fn batch_limit(&self) -> usize {
        if self.batch.is_empty() {
            return usize::MAX;
        }
        let used = self.file.as_ref().map_or(0, |open| open.size);
        let left = self.spec.max_size.saturating_sub(used);
        usize::try_from(left).unwrap_or(usize::MAX).min(BATCH)
    }

    fn drop_batch(&mut self, error: Option<(io::Error, Instant)>) {
        self.dropped_lines += self.records;
        let before = self.failure.take();
        self.failure = match (error, before) {
            (Some((error, now)), before) => Some(Failure {
                error: error.to_string(),
                retry: now + RETRY,
                lines: before.map_or(0, |f| f.lines) + self.records,
            }),
            (None, Some(before)) => Some(Failure {
                lines: before.lines + self.records,
                ..before
            }),
            (None, None) => None,
        };
        self.batch.clear();
        self.records = 0;
    }

    fn try_flush(&mut self, now: Instant) -> io::Result<()> {
        if let Some(failure) = &self.failure {
            let lost = format!(
                "{} lines could not be written: {}",
                failure.lines, failure.error
            );
            let lost = lost
                .get(..lost.len().min(self.max_text()))
                .unwrap_or_default();
            let mut remark = Vec::with_capacity(MAX_HEAD + lost.len() + 1);
            write_head(&self.time.1, Stream::Cockpit, false, &mut remark);
            remark.extend_from_slice(lost.as_bytes());
            remark.push(b'\n');
            self.write_all(&remark, now)?;
            self.failure = None;
        }
        let batch = std::mem::take(&mut self.batch);
        let written = self.write_all(&batch, now);
        self.batch = batch;
        written
    }

    /// Writes whole records: all of them or none.
    fn write_all(&mut self, bytes: &[u8], now: Instant) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let max = self.spec.max_size;
        if length > max {
            return Err(io::Error::other(
                "the log's max_size is too small for its lines",
            ));
        }
        let mut open = match self.file.take() {
            Some(open) => open.checked(&self.spec.path, now)?,
            None => None,
        };
        if open.is_none() {
            open = Some(open_bounded(&self.spec, now)?);
        }
        let mut open = match open {
            Some(open) if open.size + length > max => {
                drop(open);
                rotate(&self.spec)?;
                open_bounded(&self.spec, now)?
            }
            Some(open) => open,
            None => return Err(io::Error::other("the log is not open")),
        };
        match open.file.write_all(bytes) {
            Ok(()) => {
                open.size += length;
                self.file = Some(open);
                Ok(())
            }
            Err(e) => {
                // Half a record must not stay: the next one would continue it. Shrinking works on a full disk.
                let _ = open.file.set_len(open.size);
                Err(e)
            }
        }
    }
}

impl Open {
    /// `None` if the file at `path` is not this one any more.
    fn checked(mut self, path: &Path, now: Instant) -> io::Result<Option<Self>> {
        if now.duration_since(self.checked) < CHECK {
            return Ok(Some(self));
        }
        self.checked = now;
        let own = self.file.metadata()?;
        let there = std::fs::metadata(path).ok();
        let same = there.is_some_and(|m| m.dev() == own.dev() && m.ino() == own.ino());
        // Someone may have emptied it.
        self.size = own.len();
        Ok(same.then_some(self))
    }
}

/// The name of the `n`th rotated file.
pub(super) fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

/// Moves every file one further; the oldest goes.
fn rotate(spec: &LogSpec) -> io::Result<()> {
    remove(&rotated(&spec.path, spec.keep.max(1)))?;
    if spec.keep == 0 {
        return remove(&spec.path);
    }
    for n in (1..spec.keep).rev() {
        rename(&rotated(&spec.path, n), &rotated(&spec.path, n + 1))?;
    }
    rename(&spec.path, &rotated(&spec.path, 1))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Opens the live file to append, after what is there (perhaps under larger bounds) was brought under the bounds.
fn open_bounded(spec: &LogSpec, now: Instant) -> io::Result<Open> {
    let live = std::fs::metadata(&spec.path).map_or(0, |m| m.len());
    if live > spec.max_size {
        rotate(spec)?;
    }
    enforce(spec)?;
    let mut open = open(spec, now)?;
    if open.size > 0 && !ends_a_line(&mut open.file)? {
        // A writer before us was killed in the middle of a record.
        if open.size + 1 > spec.max_size {
            drop(open);
            rotate(spec)?;
            enforce(spec)?;
            return self::open(spec, now);
        }
        open.file.write_all(b"\n")?;
        open.size += 1;
    }
    Ok(open)
}

/// Deletes rotated files, the oldest first, until what is left is within `max_size × keep`.
fn enforce(spec: &LogSpec) -> io::Result<()> {
    let budget = spec.max_size.saturating_mul(u64::from(spec.keep));
    let mut total: u64 = 0;
    for (n, path) in rotated_files(&spec.path)? {
        let size = std::fs::metadata(&path).map_or(0, |m| m.len());
        total = total.saturating_add(size);
        if n > spec.keep || total > budget || size > spec.max_size {
            remove(&path)?;
            total -= size;
        }
    }
    Ok(())
}

/// The rotated files that there are, newest first.
pub(super) fn rotated_files(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.file_name();
            let n = file.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
            // `.01` is not ours.
            let number: u32 = n.parse().ok().filter(|number| *number > 0)?;
            (n == number.to_string()).then(|| (number, entry.path()))
        })
        .collect();
    files.sort();
    Ok(files)
}

fn open(spec: &LogSpec, now: Instant) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    // Non-blocking, so that a FIFO in its place cannot hold us up; it means nothing to a file.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(nonblock);
    let file = match options.open(&spec.path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = spec.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            options.open(&spec.path)?
        }
        file => file?,
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(Open {
        file,
        size: meta.len(),
        checked: now,
    })
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

//! Where the child's records go: the log, the last lines for an exit, and the engine that follows.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::pump::lock;
use crate::log::lines::MAX_TEXT;
use crate::log::{Health, Stream, Writer};
use crate::protocol::{FromShim, LiveLine, LogSpec, encode};

/// What is kept of the last lines, for an exit.
const LAST_LINES: usize = 20;
const LAST_LINE: usize = 1024;
/// Live lines that wait for a slow engine.
const OUTLET: usize = 256 * 1024;

/// What waits for the engine. Its lock is only ever held for a moment.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    following: bool,
    /// Encoded frames.
    frames: Vec<u8>,
    lost: u64,
    health: Health,
    health_changed: bool,
}

impl Outlet {
    /// Whether live lines are wanted from now on. Those that wait are forgotten.
    pub(super) fn follow(&mut self, on: bool) {
        self.following = on;
        self.frames = Vec::new();
        self.lost = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.lost == 0 && !self.health_changed
    }

    /// Moves what waits to `out`, as frames.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.frames);
        if self.lost > 0 {
            let lines = std::mem::take(&mut self.lost);
            let _ = encode(&FromShim::Lost { lines }, out);
        }
        if std::mem::take(&mut self.health_changed) {
            let _ = encode(&self.health(), out);
        }
    }

    /// What is wrong with the log, for an engine that has just come.
    pub(super) fn trouble(&self) -> Option<FromShim> {
        self.health.problem.is_some().then(|| self.health())
    }

    fn health(&self) -> FromShim {
        FromShim::LogHealth {
            problem: self.health.problem.clone(),
            dropped_lines: self.health.dropped_lines,
        }
    }

    fn line(&mut self, at_nanos: i64, stream: Stream, partial: bool, text: &[u8]) {
        if !self.following {
            return;
        }
        if self.lost > 0 || self.frames.len() + text.len() > OUTLET {
            self.lost += 1;
            return;
        }
        let line = FromShim::Line(LiveLine {
            at_nanos,
            stream,
            partial,
            text: String::from_utf8_lossy(text).into_owned(),
        });
        let _ = encode(&line, &mut self.frames);
    }
}

/// Where records go.
#[derive(Debug, Default)]
pub(super) struct Sink {
    writer: Option<Writer>,
    last: VecDeque<Vec<u8>>,
}

impl Sink {
    /// The longest text of a record.
    pub(super) fn max_text(&self) -> usize {
        let limit = self.writer.as_ref().map_or(0, Writer::max_text);
        if limit == 0 { MAX_TEXT } else { limit }
    }

    pub(super) fn record(
        &mut self,
        at: i64,
        stream: Stream,
        partial: bool,
        text: &[u8],
        outlet: &Mutex<Outlet>,
    ) {
        if let Some(writer) = &mut self.writer {
            writer.record(at, stream, partial, text);
        }
        let mut line = if self.last.len() < LAST_LINES {
            Vec::new()
        } else {
            self.last.pop_front().unwrap_or_default()
        };
        line.clear();
        line.extend_from_slice(text.get(..LAST_LINE).unwrap_or(text));
        self.last.push_back(line);
        lock(outlet).line(at, stream, partial, text);
    }

    pub(super) fn remark(&mut self, at: i64, text: &str, outlet: &Mutex<Outlet>) {
        if let Some(writer) = &mut self.writer {
            writer.remark(at, text);
        }
        for line in text.lines() {
            lock(outlet).line(at, Stream::Cockpit, false, line.as_bytes());
        }
    }

    pub(super) fn set_log(&mut self, spec: LogSpec) {
        match &mut self.writer {
            Some(writer) => writer.set(spec),
            None => self.writer = Some(Writer::new(spec)),
        }
    }

    /// A new child begins.
    pub(super) fn forget_last(&mut self) {
        self.last.clear();
    }

    pub(super) fn last_lines(&self) -> Vec<String> {
        let lines = self.last.iter();
        lines
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    pub(super) fn flush(&mut self, outlet: &Mutex<Outlet>) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        writer.flush();
        let health = writer.health();
        let mut outlet = lock(outlet);
        outlet.health_changed |= health.problem != outlet.health.problem;
        outlet.health = health;
    }
}

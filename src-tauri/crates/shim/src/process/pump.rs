//! The pump: a thread that moves the child's output into the log, so that the child never waits for the disk,
//! an engine, or us.
//!
//! It sleeps in `poll` while the child is quiet. While a child writes a lot, the pump rests between two rounds, so that
//! the child's writes meet room and nobody to wake; for that its pipe is enlarged (only then: the system's budget
//! for pipes is shared by the whole user).
//!
//! The state is behind a mutex that the pump holds only while it moves bytes: when the leader has ended, the main
//! loop takes it and drains the pipes itself, and so has the last lines without a hop between threads.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, poll};

use super::signals::wake;
use crate::log::lines::Splitter;
use crate::log::{Health, Stream, Writer};
use crate::protocol::{FromShim, LiveLine, LogSpec, encode};

/// Read at once.
const CHUNK: usize = 64 * 1024;
/// Moved in one round and stream, so that one cannot starve the other.
const ROUND: usize = 1024 * 1024;
/// The size of a busy child's pipe.
#[cfg(target_os = "linux")]
const PIPE: usize = 1024 * 1024;
/// The size that every pipe has.
const SMALL_PIPE: usize = 64 * 1024;
/// The pump rests after a round while output comes in quick succession and found the pipe at most a quarter full: at
/// 50 MB/s it is then a fifth full, and the child's writes meet room, and nobody to wake.
const REST: Duration = Duration::from_millis(4);
/// Output within this time of the output before is in quick succession.
const SUCCESSION: Duration = Duration::from_millis(10);
/// What is kept of the last lines, for an exit.
const LAST_LINES: usize = 20;
const LAST_LINE: usize = 1024;
/// Live lines that wait for a slow engine.
const OUTLET: usize = 256 * 1024;
/// How long a leader's end waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_millis(50);

/// What the pump has for the engine.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    following: bool,
    /// Encoded frames.
    frames: Vec<u8>,
    lost: u64,
    health: Option<Health>,
}

/// One output of the child.
#[derive(Debug)]
struct Source {
    stream: Stream,
    pipe: Option<Arc<PipeReader>>,
    lines: Splitter,
    capacity: usize,
}

impl Source {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            pipe: None,
            lines: Splitter::default(),
            capacity: SMALL_PIPE,
        }
    }
}

#[derive(Debug)]
struct State {
    sources: [Source; 2],
    buffer: Vec<u8>,
    last_output: Option<Instant>,
    sink: Sink,
}

/// Where records go.
#[derive(Debug)]
struct Sink {
    writer: Option<Writer>,
    last: VecDeque<Vec<u8>>,
    health: Health,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    outlet: Mutex<Outlet>,
}

/// The main loop's hold on the pump.
#[derive(Debug)]
pub(super) struct Pump {
    shared: Arc<Shared>,
    nudge: PipeWriter,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn unix_nanos() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

impl Pump {
    pub(super) fn start() -> io::Result<Self> {
        let (nudged, nudge) = io::pipe()?;
        rustix::io::ioctl_fionbio(&nudged, true)?;
        rustix::io::ioctl_fionbio(&nudge, true)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                sources: [Source::new(Stream::Stdout), Source::new(Stream::Stderr)],
                buffer: Vec::new(),
                last_output: None,
                sink: Sink {
                    writer: None,
                    last: VecDeque::new(),
                    health: Health::default(),
                },
            }),
            outlet: Mutex::new(Outlet::default()),
        });
        let pump = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("pump".into())
            .stack_size(64 * 1024)
            .spawn(move || run(&pump, nudged))?;
        Ok(Self { shared, nudge })
    }

    /// A new child's outputs. The last lines begin anew.
    pub(super) fn attach(&mut self, stdout: PipeReader, stderr: PipeReader) {
        let mut state = lock(&self.shared.state);
        state.sink.last.clear();
        for (source, pipe) in state.sources.iter_mut().zip([stdout, stderr]) {
            *source = Source::new(source.stream);
            source.pipe = Some(Arc::new(pipe));
        }
        drop(state);
        let _ = self.nudge.write(&[1]);
    }

    /// Where the log goes from now on.
    pub(super) fn set_log(&self, spec: LogSpec) {
        let mut state = lock(&self.shared.state);
        match &mut state.sink.writer {
            Some(writer) => writer.set(spec),
            None => state.sink.writer = Some(Writer::new(spec)),
        }
    }

    pub(super) fn remark(&self, text: &str) {
        let (mut state, now) = (lock(&self.shared.state), unix_nanos());
        if let Some(writer) = &mut state.sink.writer {
            writer.remark(now, text);
        }
        for line in text.lines() {
            lock(&self.shared.outlet).line(now, Stream::Cockpit, false, line.as_bytes());
        }
        drop(state);
        wake();
    }

    /// Moves what the pipes hold now, and gives the last lines of the output. With `close` the output is over:
    /// nobody is left who could write.
    pub(super) fn drain(&self, close: bool) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut state = loop {
            match self.shared.state.try_lock() {
                Ok(state) => break state,
                Err(std::sync::TryLockError::Poisoned(e)) => break e.into_inner(),
                Err(std::sync::TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_micros(50));
                }
                Err(std::sync::TryLockError::WouldBlock) if close => {
                    break lock(&self.shared.state);
                }
                Err(std::sync::TryLockError::WouldBlock) => return Vec::new(),
            }
        };
        state.round(&self.shared.outlet);
        if close {
            state.close(&self.shared.outlet);
        }
        let last = &state.sink.last;
        last.iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    /// Whether live lines are wanted. Either way those that wait are forgotten.
    pub(super) fn follow(&self, on: bool) {
        *lock(&self.shared.outlet) = Outlet {
            following: on,
            ..Outlet::default()
        };
    }

    /// What waits for the engine, as encoded frames.
    pub(super) fn take(&self, out: &mut Vec<u8>) {
        let mut outlet = lock(&self.shared.outlet);
        out.append(&mut outlet.frames);
        if outlet.lost > 0 {
            let lines = std::mem::take(&mut outlet.lost);
            let _ = encode(&FromShim::Lost { lines }, out);
        }
        if let Some(health) = outlet.health.take() {
            let _ = encode(&health_frame(health), out);
        }
    }

    /// What is wrong with the log now, for an engine that has just come.
    pub(super) fn trouble(&self) -> Option<FromShim> {
        let state = self.shared.state.try_lock().ok()?;
        let health = state.sink.health.clone();
        (health.problem.is_some()).then(|| health_frame(health))
    }

    pub(super) fn log(&self) -> Option<LogSpec> {
        let state = lock(&self.shared.state);
        state.sink.writer.as_ref().map(|w| w.spec().clone())
    }
}

fn health_frame(health: Health) -> FromShim {
    FromShim::LogHealth {
        problem: health.problem,
        dropped_lines: health.dropped_lines,
    }
}

fn run(shared: &Shared, mut nudged: PipeReader) {
    loop {
        let pipes: Vec<Arc<PipeReader>> = lock(&shared.state)
            .sources
            .iter()
            .filter_map(|source| source.pipe.clone())
            .collect();
        let mut fds: Vec<PollFd<'_>> = std::iter::once(nudged.as_fd())
            .chain(pipes.iter().map(AsFd::as_fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        if poll(&mut fds, None).is_err() {
            // Interrupted by a signal that landed on this thread.
            continue;
        }
        drop(fds);
        drop(pipes);
        let _ = nudged.read(&mut [0; 64]);
        let rest = lock(&shared.state).round(&shared.outlet);
        let outlet = lock(&shared.outlet);
        let told = !outlet.frames.is_empty() || outlet.lost > 0 || outlet.health.is_some();
        drop(outlet);
        if told {
            wake();
        }
        if rest {
            std::thread::sleep(REST);
        }
    }
}

/// Makes the pipe of a busy child larger; its size then. Once the user's budget for pipes is spent it stays small.
#[cfg(target_os = "linux")]
fn enlarge(pipe: &PipeReader) -> usize {
    rustix::pipe::fcntl_setpipe_size(pipe, PIPE).unwrap_or(SMALL_PIPE)
}

#[cfg(not(target_os = "linux"))]
fn enlarge(_: &PipeReader) -> usize {
    SMALL_PIPE
}

impl State {
    /// Moves what there is, within bounds; whether to rest before the next round.
    fn round(&mut self, outlet: &Mutex<Outlet>) -> bool {
        let (mut total, mut fills) = (0, false);
        if self.buffer.is_empty() {
            self.buffer.resize(4096, 0);
        }
        for source in &mut self.sources {
            let Some(pipe) = source.pipe.clone() else {
                continue;
            };
            let mut moved = 0;
            while moved < ROUND {
                let n = match (&*pipe).read(&mut self.buffer) {
                    Ok(0) => {
                        source.pipe = None;
                        break;
                    }
                    Ok(n) => n,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        source.pipe = None;
                        break;
                    }
                };
                moved += n;
                let now = unix_nanos();
                let chunk = self.buffer.get(..n).unwrap_or_default();
                let sink = &mut self.sink;
                let stream = source.stream;
                let limit = sink.max_text();
                source.lines.push(chunk, limit, |text, partial| {
                    sink.record(now, stream, partial, text, outlet);
                });
                if n == self.buffer.len() && n < CHUNK {
                    self.buffer.resize(CHUNK, 0);
                }
            }
            if moved > source.capacity / 4 {
                fills = true;
                if source.capacity == SMALL_PIPE {
                    source.capacity = enlarge(&pipe);
                }
            }
            total += moved;
        }
        self.sink.flush(outlet);
        let now = Instant::now();
        let before = if total > 0 {
            self.last_output.replace(now)
        } else {
            None
        };
        !fills && before.is_some_and(|before| now.duration_since(before) < SUCCESSION)
    }

    fn close(&mut self, outlet: &Mutex<Outlet>) {
        let now = unix_nanos();
        for source in &mut self.sources {
            let (sink, stream) = (&mut self.sink, source.stream);
            source
                .lines
                .finish(|text, partial| sink.record(now, stream, partial, text, outlet));
            source.pipe = None;
        }
        self.sink.flush(outlet);
        self.buffer = Vec::new();
    }
}

impl Sink {
    fn max_text(&self) -> usize {
        let limit = self.writer.as_ref().map_or(0, Writer::max_text);
        if limit == 0 { CHUNK } else { limit }
    }

    fn record(
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

    fn flush(&mut self, outlet: &Mutex<Outlet>) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        writer.flush();
        let health = writer.health();
        if health.problem != self.health.problem {
            lock(outlet).health = Some(health.clone());
        }
        self.health = health;
    }
}

impl Outlet {
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

//! The pump: a thread that moves the child's output into the log, so that the child never waits for the disk,
//! an engine, or us.
//!
//! It sleeps in `poll` while the child is quiet. While a child writes a lot, the pump rests between two rounds, so that
//! the child's writes meet room and nobody to wake; for that its pipe is enlarged (only then: the system's budget
//! for pipes is shared by the whole user).
//!
//! The state is behind a mutex that the pump holds only while it moves bytes: when the leader has ended, the main
//! loop takes it and drains the pipes itself, and so has the last lines without a hop between threads.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, poll};

use super::signals::wake;
use super::sink::{Outlet, Sink};
use crate::log::Stream;
use crate::log::lines::Splitter;
use crate::protocol::LogSpec;

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
/// How long a leader's end waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_millis(500);

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

/// What the main loop wants of the pump. It is left in a queue, so that the main loop never waits for a disk.
#[derive(Debug)]
enum Order {
    /// A new child's outputs. The last lines begin anew.
    Attach(PipeReader, PipeReader),
    SetLog(LogSpec),
    Remark(i64, String),
    /// The output is over: nobody is left who could write.
    Close,
}

#[derive(Debug)]
struct Shared {
    /// Held while bytes are moved, so for as long as the disk takes.
    state: Mutex<State>,
    orders: Mutex<Vec<Order>>,
    /// The main loop waits for the state: the pump shall let go of it at the next chunk.
    wanted: AtomicBool,
    outlet: Mutex<Outlet>,
}

impl Shared {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                sources: [Source::new(Stream::Stdout), Source::new(Stream::Stderr)],
                buffer: Vec::new(),
                last_output: None,
                sink: Sink::default(),
            }),
            orders: Mutex::new(Vec::new()),
            wanted: AtomicBool::new(false),
            outlet: Mutex::new(Outlet::default()),
        }
    }
}

/// The main loop's hold on the pump.
#[derive(Debug)]
pub(super) struct Pump {
    shared: Arc<Shared>,
    nudge: PipeWriter,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        let shared = Arc::new(Shared::new());
        let pump = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("pump".into())
            .stack_size(64 * 1024)
            .spawn(move || run(&pump, nudged))?;
        Ok(Self { shared, nudge })
    }

    fn order(&self, order: Order) {
        lock(&self.shared.orders).push(order);
        let _ = (&self.nudge).write(&[1]);
    }

    /// A new child's outputs. The last lines begin anew.
    pub(super) fn attach(&self, stdout: PipeReader, stderr: PipeReader) {
        self.order(Order::Attach(stdout, stderr));
    }

    /// Where the log goes from now on.
    pub(super) fn set_log(&self, spec: LogSpec) {
        self.order(Order::SetLog(spec));
    }

    /// A line of the cockpit's own.
    pub(super) fn remark(&self, text: String) {
        self.order(Order::Remark(unix_nanos(), text));
    }

    /// Moves what the pipes hold now, and gives the last lines of the output; none if the disk hangs. With
    /// `close` the output is over.
    pub(super) fn drain(&self, close: bool) -> Vec<String> {
        if close {
            // Without a nudge: it is most likely we who obey it.
            lock(&self.shared.orders).push(Order::Close);
        }
        self.shared.wanted.store(true, Ordering::Release);
        let state = self.acquire();
        self.shared.wanted.store(false, Ordering::Release);
        let Some(mut state) = state else {
            let _ = (&self.nudge).write(&[1]);
            return Vec::new();
        };
        state.round(&self.shared);
        state.sink.last_lines()
    }

    fn acquire(&self) -> Option<MutexGuard<'_, State>> {
        let until = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            match self.shared.state.try_lock() {
                Ok(state) => return Some(state),
                Err(TryLockError::Poisoned(e)) => return Some(e.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return None,
                Err(TryLockError::WouldBlock) => {}
            }
            // The pump is mostly done within microseconds; a sleep is far longer than it says.
            tries += 1;
            if tries < 64 {
                std::thread::yield_now();
            } else {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    /// What waits for the engine.
    pub(super) fn outlet(&self) -> MutexGuard<'_, Outlet> {
        lock(&self.shared.outlet)
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
        let rest = lock(&shared.state).round(shared);
        if !lock(&shared.outlet).is_empty() {
            wake();
        }
        if rest {
            std::thread::sleep(REST);
        }
        while shared.wanted.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_micros(50));
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
    /// Obeys, and moves what there is, within bounds; whether to rest before the next round.
    fn round(&mut self, shared: &Shared) -> bool {
        let outlet = &shared.outlet;
        for order in std::mem::take(&mut *lock(&shared.orders)) {
            match order {
                Order::Attach(stdout, stderr) => {
                    self.sink.forget_last();
                    for (source, pipe) in self.sources.iter_mut().zip([stdout, stderr]) {
                        *source = Source::new(source.stream);
                        source.pipe = Some(Arc::new(pipe));
                    }
                }
                Order::SetLog(spec) => self.sink.set_log(spec),
                Order::Remark(at, text) => self.sink.remark(at, &text, outlet),
                Order::Close => {
                    // To the end, whoever waits: what is not read now is lost.
                    self.move_output(outlet, || false);
                    self.close(outlet);
                }
            }
        }
        self.move_output(outlet, || shared.wanted.load(Ordering::Acquire))
    }

    fn move_output(&mut self, outlet: &Mutex<Outlet>, interrupted: impl Fn() -> bool) -> bool {
        let (mut total, mut fills) = (0, false);
        if self.buffer.is_empty() {
            self.buffer.resize(4096, 0);
        }
        for source in &mut self.sources {
            let Some(pipe) = source.pipe.clone() else {
                continue;
            };
            let mut moved = 0;
            while moved < ROUND && !interrupted() {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The main loop asks for the end of an output, and wants the state; the pump may obey first.
    #[test]
    fn an_output_is_read_to_its_end_also_when_the_main_loop_waits() {
        let ((out, mut stdout), (err, mut stderr)) = (io::pipe().unwrap(), io::pipe().unwrap());
        stdout.write_all(b"last words").unwrap();
        stderr.write_all(b"an error\n").unwrap();
        drop((stdout, stderr));
        let shared = Shared::new();
        lock(&shared.orders).extend([Order::Attach(out, err), Order::Close]);
        shared.wanted.store(true, Ordering::Release);
        let mut state = lock(&shared.state);
        state.round(&shared);
        let mut lines = state.sink.last_lines();
        lines.sort();
        assert_eq!(lines, ["an error", "last words"]);
    }
}

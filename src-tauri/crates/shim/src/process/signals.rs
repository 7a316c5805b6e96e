//! Signals become a byte in a pipe that the main loop polls.
//!
//! SIGCHLD wakes the loop, SIGTERM asks it to end. SIGHUP, SIGINT and SIGQUIT are caught and do nothing; they are
//! not *ignored*, because an ignored signal stays ignored in the child, and a child may be stopped by SIGINT.
//! SIGPIPE is ignored by Rust's runtime, which restores it in what it spawns.

use std::ffi::c_int;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

static WAKE: OnceLock<OwnedFd> = OnceLock::new();
static AWAKE: AtomicBool = AtomicBool::new(false);
static TERMINATE: AtomicBool = AtomicBool::new(false);

/// Makes the main loop's poll return. Async-signal-safe: two atomics and a `write`, which cannot fail
/// (and so leaves errno alone), because never more than one byte is in the pipe.
pub(super) fn wake() {
    if !AWAKE.swap(true, Ordering::AcqRel)
        && let Some(fd) = WAKE.get()
    {
        let _ = rustix::io::write(fd, &[1]);
    }
}

extern "C" fn on_child(_: c_int) {
    wake();
}

extern "C" fn on_terminate(_: c_int) {
    TERMINATE.store(true, Ordering::Release);
    wake();
}

extern "C" fn on_nothing(_: c_int) {}

/// The end of the pipe that the main loop polls.
#[derive(Debug)]
pub(super) struct Wakeups(PipeReader);

impl Wakeups {
    /// Installs the handlers. Once per process.
    pub(super) fn install() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        WAKE.set(writer.into())
            .map_err(|_| io::Error::other("the signal handlers are installed already"))?;
        handle(Signal::CHILD, on_child)?;
        handle(Signal::TERM, on_terminate)?;
        for signal in [Signal::HUP, Signal::INT, Signal::QUIT] {
            handle(signal, on_nothing)?;
        }
        Ok(Self(reader))
    }

    /// Takes the byte. Call before looking at what the wakeup may be about: a later one then wakes again.
    pub(super) fn clear(&mut self) {
        let mut bytes = [0; 8];
        let _ = self.0.read(&mut bytes);
        AWAKE.store(false, Ordering::Release);
    }

    pub(super) fn terminate_asked() -> bool {
        TERMINATE.load(Ordering::Acquire)
    }
}

impl AsFd for Wakeups {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[allow(
    unsafe_code,
    reason = "neither std nor rustix installs a signal handler"
)]
fn handle(which: Signal, handler: extern "C" fn(c_int)) -> io::Result<()> {
    unsafe extern "C" {
        fn signal(signum: c_int, handler: extern "C" fn(c_int)) -> usize;
    }
    const SIG_ERR: usize = usize::MAX;
    // SAFETY: this is ISO C's `signal` (with BSD semantics on both platforms: the handler stays, calls restart), and
    // each handler only does what is async-signal-safe: nothing, or atomics and `write` (see `wake`).
    let before = unsafe { signal(which.as_raw(), handler) };
    if before == SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

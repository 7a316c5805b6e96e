//! Pure state machines of failure: backoff and crash-loop detection. Time and chance are passed in.
//!
//! **Invariant:** no clock, no I/O, no runtime. A moment is a [`std::time::Duration`] since any fixed origin
//! of the caller's choosing (it must not step back; it may stand still while the machine sleeps). Chance is a
//! number in `0.0..1.0`. The same inputs give the same outputs, always.

mod backoff;
mod crash_loop;

pub use backoff::{Backoff, BackoffSettings, InvalidBackoff};
pub use crash_loop::{CrashLoop, CrashLoopSettings, InvalidCrashLoop};

/// A number in `0.0..1.0`, uniformly distributed: the jitter for [`Backoff::next`].
pub fn chance() -> f64 {
    rand::random()
}

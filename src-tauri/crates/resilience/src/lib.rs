//! Pure state machines of failure and scarcity. Time and chance are passed in.
//!
//! | question | machine |
//! |---|---|
//! | When does the dead process come again? | [`Backoff`], [`CrashLoop`] |
//! | May this target be asked at all? | [`breaker`] |
//! | Is the request tried again, where, and when? | [`retry`] |
//! | Does the caller ask too often? | [`rate`] |
//! | Is there money left? | [`budget`] |
//! | Whose turn is it at a busy local model? | [`queue`] |
//! | Is this key used as it always was? | [`access`] |
//!
//! **Invariant:** no clock, no I/O, no runtime. A moment is a [`std::time::Duration`] since any fixed origin
//! of the caller's choosing (it must not step back; it may stand still while the machine sleeps). Chance is a
//! number in `0.0..1.0`. The same inputs give the same outputs, always. Only what is aligned to the calendar
//! ([`budget`], an HTTP date in [`retry::retry_after`]) or must outlive the process ([`access`]) is given times of the wall clock.
//!
//! **Invariant:** none of them grows with the traffic, and nothing that is never reported back (a permit
//! whose request was dropped) locks one up for good, unless its documentation says who must give it back.

pub mod access;
mod backoff;
pub mod breaker;
pub mod budget;
mod crash_loop;
pub mod queue;
pub mod rate;
pub mod retry;

pub use backoff::{Backoff, BackoffSettings, InvalidBackoff};
pub use crash_loop::{CrashLoop, CrashLoopSettings, InvalidCrashLoop};

/// A number in `0.0..1.0`, uniformly distributed: the jitter for [`Backoff::next`] and
/// [`retry::Plan::ended`].
pub fn chance() -> f64 {
    rand::random()
}

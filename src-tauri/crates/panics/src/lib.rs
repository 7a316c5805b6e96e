//! What a panic ends.
//!
//! A panic is a defect of ours. One in a request must not take every other request along; one in what keeps the
//! engine going (an instance's actor, a database's writer, the pulse) must not leave an engine that looks alive and
//! is not. So a panic ends the whole process, as [`install`] has it, visibly and at once: services go on under
//! their shims, and the next engine finds them. Only where it is said that a panic may be outlived ([`outlived`],
//! [`Outlived`]) does it unwind, and ends the task it happened in.
//!
//! What locks a mutex there and elsewhere holds something that is whole between any two statements: a lock that was
//! poisoned is taken all the same.

use std::cell::Cell;
use std::future::Future;
use std::panic;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    static OUTLIVED: Cell<bool> = const { Cell::new(false) };
}

/// Lets a panic end the process, after it has been printed as usual, unless it may be outlived.
pub fn install() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        usual(what);
        if !OUTLIVED.get() {
            std::process::abort();
        }
    }));
}

/// Runs something whose panic its caller outlives: it unwinds to there.
pub fn outlived<T>(work: impl FnOnce() -> T) -> T {
    let _within = Within::enter();
    work()
}

/// A future whose panic the task that runs it alone dies of.
pub struct Outlived<F>(Pin<Box<F>>);

impl<F> Outlived<F> {
    /// This future.
    pub fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Outlived<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        outlived(|| self.0.as_mut().poll(context))
    }
}

impl<F> std::fmt::Debug for Outlived<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlived")
    }
}

/// While it is there, panics of this thread may be outlived. Ends with the scope, unwinding too.
struct Within {
    before: bool,
}

impl Within {
    fn enter() -> Self {
        Self {
            before: OUTLIVED.replace(true),
        }
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        OUTLIVED.set(self.before);
    }
}

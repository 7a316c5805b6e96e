//! A task whose parts wake each other.
//!
//! On a connection the caller's side, ours and, in the gateway, the provider's are parts of one task, and hand each other what comes
//! through channels that wake whoever waits. To the runtime each of those is a task that wakes itself: it is put at
//! the end of the queue, and another worker is woken to take it from there. Here such a wake is answered on the spot,
//! by polling again; only what comes from outside, when nobody polls, goes to the runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls in a row. Whoever wakes itself oftener may be without budget: others are to have their turn.
const MOST: u32 = 8;

/// It is being polled.
const POLLED: u8 = 1;
/// It was woken since it was last polled.
const WOKEN: u8 = 2;

/// A future that answers its own wakes; see the module.
pub(crate) struct Quiet<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
}

#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & POLLED == 0 {
            self.task.wake();
        }
    }
}

impl<F: Future> Quiet<F> {
    pub(crate) fn new(future: F) -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl<F: Future> Future for Quiet<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self {
            future,
            bell,
            waker,
        } = &mut *self;
        bell.task.register(context.waker());
        let mut inner = Context::from_waker(waker);
        for _ in 0..MOST {
            bell.state.store(POLLED, Ordering::Release);
            let polled = future.as_mut().poll(&mut inner);
            // From here on whoever rings wakes the task.
            let state = bell.state.fetch_and(!POLLED, Ordering::AcqRel);
            if polled.is_ready() || state & WOKEN == 0 {
                return polled;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; how often it woke the task meanwhile.
    fn poll<F: Future>(quiet: &mut Quiet<F>) -> (Poll<F::Output>, u32) {
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        let polled = Pin::new(quiet).poll(&mut Context::from_waker(&waker));
        (polled, count.0.load(Ordering::SeqCst))
    }

    /// Wakes itself so many times before it is done.
    fn wakes(mut times: u32) -> impl Future<Output = ()> {
        std::future::poll_fn(move |context| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn what_wakes_itself_is_polled_again() {
        assert_eq!(poll(&mut Quiet::new(wakes(3))), (Poll::Ready(()), 0));
    }

    #[test]
    fn but_not_for_ever() {
        let mut quiet = Quiet::new(wakes(MOST + 2));
        assert_eq!(poll(&mut quiet), (Poll::Pending, 1));
        assert_eq!(poll(&mut quiet), (Poll::Ready(()), 0));
    }

    #[test]
    fn whoever_wakes_it_from_outside_wakes_the_task() {
        let kept = Arc::new(std::sync::Mutex::new(None::<Waker>));
        let keeps = Arc::clone(&kept);
        let mut polls = 0;
        let mut quiet = Quiet::new(std::future::poll_fn(move |context| {
            polls += 1;
            if let Ok(mut kept) = keeps.lock() {
                *kept = Some(context.waker().clone());
            }
            if polls == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut quiet).poll(&mut context).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        if let Some(waker) = kept.lock().ok().and_then(|mut kept| kept.take()) {
            std::thread::spawn(move || waker.wake()).join().ok();
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(Pin::new(&mut quiet).poll(&mut context).is_ready());
    }
}

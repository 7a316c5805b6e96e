//! A streamed answer on its way through: what comes goes on at once, and is read in passing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use cockpit_metering::wire::StreamMeter;
use cockpit_model::Outcome;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::Cut;
use crate::flight::{Blame, Flight};
use crate::force::Provider;
use crate::tap::Tap;
use crate::upstream::Coming;

type Polled = Poll<Option<Result<Frame<Bytes>, Cut>>>;

/// An answer that is passed on piece by piece. Dropped before its end, the caller has gone: the provider's
/// connection is closed, so that it stops writing.
pub(crate) struct Relay {
    upstream: Coming,
    /// Reads in passing; none: what passes is not accounted for by its content.
    meter: Option<StreamMeter>,
    /// Read ahead, or cut off from what came.
    ready: VecDeque<Bytes>,
    idle_timeout: Duration,
    deadline: Instant,
    /// Until the next piece must be here.
    timer: Pin<Box<Sleep>>,
    status: u16,
    /// What is still to come of an unread answer that said how long it is.
    owed: Option<u64>,
    flight: Option<Flight>,
    /// Takes along what passes.
    tap: Option<Box<Tap>>,
    done: bool,
}

/// How the first piece of a stream came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// There is something to pass on.
    Good,
    /// It says that it failed before it said anything else.
    Failed,
    /// It ended, or broke off, before it said anything.
    Broken,
    /// Nothing came in time.
    Late,
}

impl Relay {
    /// One that is read by `meter`, if there is one, and accounted for.
    pub(crate) fn new(
        upstream: Coming,
        meter: Option<StreamMeter>,
        provider: &Arc<Provider>,
        status: u16,
        deadline: Instant,
    ) -> Self {
        let first = Instant::now() + provider.spec.first_byte_timeout;
        let idle_timeout = provider.spec.idle_timeout;
        let mut relay = Self::of(upstream, status, idle_timeout, first, deadline);
        relay.meter = meter;
        relay
    }

    /// One that is neither read nor accounted for.
    pub(crate) fn unread(
        upstream: Coming,
        status: u16,
        idle_timeout: Duration,
        whole: Duration,
    ) -> Self {
        let now = Instant::now();
        Self::of(
            upstream,
            status,
            idle_timeout,
            now + idle_timeout,
            now + whole,
        )
    }

    /// `first`: until when its first piece must be here.
    fn of(
        upstream: Coming,
        status: u16,
        idle_timeout: Duration,
        first: Instant,
        deadline: Instant,
    ) -> Self {
        Self {
            owed: upstream.size_hint().exact(),
            upstream,
            meter: None,
            ready: VecDeque::new(),
            idle_timeout,
            deadline,
            timer: Box::pin(sleep_until(first.min(deadline))),
            status,
            flight: None,
            tap: None,
            done: false,
        }
    }

    /// Puts bytes in front that were read already.
    pub(crate) fn after(mut self, read: VecDeque<Bytes>) -> Self {
        self.ready = read;
        self
    }

    /// From here on it reports to the flight.
    pub(crate) fn carry(mut self, flight: Flight) -> Self {
        self.flight = Some(flight);
        self
    }

    /// What passes from here on, and what is ready to, is taken along.
    pub(crate) fn tapped(mut self, tap: Option<Tap>) -> Self {
        self.tap = tap.map(|mut tap| {
            if self.meter.is_none() {
                tap.unread();
            }
            for piece in &self.ready {
                tap.pass(piece);
            }
            Box::new(tap)
        });
        self
    }

    fn end_tap(&mut self, well: bool, finish_reason: Option<String>) {
        if let Some(tap) = self.tap.take() {
            tap.end(well, finish_reason);
        }
    }

    /// Reads until there is something to tell the caller, so that another target can still be asked
    /// instead.
    pub(crate) async fn begin(&mut self) -> Beginning {
        std::future::poll_fn(|context| {
            loop {
                if let Some(meter) = &self.meter
                    && meter.error().is_some()
                    && !meter.saw_content()
                {
                    return Poll::Ready(Beginning::Failed);
                }
                if !self.ready.is_empty() {
                    return Poll::Ready(Beginning::Good);
                }
                match Pin::new(&mut self.upstream).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => self.take(frame),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Beginning::Broken),
                    Poll::Pending => {
                        ready!(self.timer.as_mut().poll(context));
                        return Poll::Ready(Beginning::Late);
                    }
                }
            }
        })
        .await
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        let Ok(data) = frame.into_data() else { return };
        if let Some(owed) = &mut self.owed {
            *owed = owed.saturating_sub(data.len() as u64);
        }
        let next = Instant::now() + self.idle_timeout;
        self.timer.as_mut().reset(next.min(self.deadline));
        let Some(meter) = &mut self.meter else {
            self.ready.push_back(data);
            return;
        };
        let (ready, tap) = (&mut self.ready, &mut self.tap);
        meter.push(data, &mut |piece| {
            if let Some(tap) = tap {
                tap.pass(&piece);
            }
            ready.push_back(piece);
        });
        if meter.saw_content()
            && let Some(flight) = &mut self.flight
        {
            flight.first_piece();
        }
    }

    /// Whether a piece of content has passed.
    pub(crate) fn saw_content(&self) -> bool {
        self.meter.as_ref().is_some_and(StreamMeter::saw_content)
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Polled {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.done {
                return Poll::Ready(None);
            }
            match Pin::new(&mut self.upstream).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame),
                Poll::Ready(Some(Err(_))) => {
                    self.broke("provider_stream_broken");
                    return Poll::Ready(Some(Err(Cut("the provider's connection broke"))));
                }
                Poll::Ready(None) => {
                    self.done = true;
                    self.ended();
                }
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(context));
                    self.broke("provider_timeout");
                    return Poll::Ready(Some(Err(Cut("the provider fell silent"))));
                }
            }
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        if self.meter.is_none() && self.ready.is_empty() {
            return self.upstream.size_hint();
        }
        SizeHint::default()
    }

    /// The provider is done.
    fn ended(&mut self) {
        let reading = self.meter.take().map(|meter| {
            let (ready, tap) = (&mut self.ready, &mut self.tap);
            meter.finish(&mut |piece| {
                if let Some(tap) = tap {
                    tap.pass(&piece);
                }
                ready.push_back(piece);
            })
        });
        let code = match &reading {
            Some(reading) if reading.error.is_some() => Some("provider_stream_error"),
            Some(reading) if !reading.complete => Some("provider_stream_cut"),
            Some(reading) => self.tap.as_ref().and_then(|tap| tap.judge(reading)),
            None => None,
        };
        let finish = reading
            .as_ref()
            .and_then(|reading| reading.finish_reason.clone());
        self.end_tap(reading.is_some() && code.is_none(), finish);
        let Some(mut flight) = self.flight.take() else {
            return;
        };
        if let Some(reading) = &reading {
            flight.used(reading);
        }
        let (outcome, blame) = match code {
            Some(_) => (Outcome::Error, Blame::Target(None)),
            None => (Outcome::Ok, Blame::None),
        };
        flight.attempt_ended(blame, code.unwrap_or_default());
        flight.finish(outcome, self.status, code);
    }

    /// It broke off in the middle.
    fn broke(&mut self, code: &'static str) {
        self.done = true;
        self.read_so_far();
        self.end_tap(false, None);
        if let Some(mut flight) = self.flight.take() {
            flight.attempt_ended(Blame::Target(None), code);
            flight.finish(Outcome::Error, self.status, Some(code));
        }
    }

    fn read_so_far(&mut self) {
        let reading = self.meter.take().map(|meter| meter.finish(&mut |_| ()));
        if let (Some(reading), Some(flight)) = (reading, &mut self.flight) {
            flight.used(&reading);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Whoever has all of an answer need not wait for its end: a client leaves after the end marker, and
        // hyper after as many bytes as were announced.
        let all = match &self.meter {
            Some(meter) => meter.is_complete(),
            None => self.owed == Some(0),
        };
        if all && self.ready.is_empty() {
            self.ended();
        }
        // What was used until the caller went is known from what has passed.
        self.read_so_far();
        self.end_tap(false, None);
    }
}

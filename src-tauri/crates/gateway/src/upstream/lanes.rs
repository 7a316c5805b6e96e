//! Connections to providers, kept for the next request.
//!
//! A connection is driven by whoever asks over it: the request, the answer's head and its pieces go from one end to
//! the other in one task. Were each connection a task of its own, as is usual, every one of those steps would wake
//! another task.
//!
//! What nobody asks over, nobody drives. Whether its provider has closed it meanwhile shows when it is taken out: what
//! was not sent for that reason is sent over another. And [`Lanes::tidy`] looks from time to time.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::body::Sending;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the rest of an upload may take whose answer is there.
const FINISH: Duration = Duration::from_secs(5);
/// How long an unused one is kept.
const IDLE: Duration = Duration::from_secs(90);
/// How many unused ones are kept for a provider.
const IDLE_FOR_EACH: usize = 128;

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection, and the way to it.
struct Lane {
    sender: SendRequest<Sending>,
    connection: Box<Connection<Stream, Sending>>,
}

/// Nobody asks over it.
struct Unused {
    lane: Lane,
    since: Instant,
}

/// All that are unused, by where they lead: a handful of places. The last that was used is the first to be used again.
type AllUnused = Vec<(Origin, Vec<Unused>)>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lanes {
    connector: HttpsConnector<HttpConnector>,
    unused: Arc<Mutex<AllUnused>>,
}

/// Nobody answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no connection")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

impl Lanes {
    /// # Errors
    /// When the machine's certificates cannot be used.
    pub(crate) fn new() -> Result<Self, std::io::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        // A small request must not wait for the acknowledgement of the one before.
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        http.set_keepalive(Some(Duration::from_secs(60)));
        let ring = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(ring)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self {
            connector,
            unused: Arc::default(),
        })
    }

    /// Sends a request, whose address is the path alone, and waits for the head of the answer. Dropped before, or with
    /// the answer before its end, the connection is closed, so that its provider stops working.
    ///
    /// # Errors
    /// When there is no connection, or it broke.
    pub(crate) async fn ask(
        &self,
        origin: Origin,
        mut request: Request<Sending>,
    ) -> Result<Response<Coming>, NoAnswer> {
        loop {
            let kept = self.take(&origin);
            let was_kept = kept.is_some();
            let lane = match kept {
                Some(lane) => lane,
                // Rarely on the way of a request, and large.
                None => Box::pin(self.connect(&origin)).await?,
            };
            match lane.ask(request).await {
                Ok((response, lane)) => {
                    let home = Home {
                        unused: Arc::clone(&self.unused),
                        origin,
                    };
                    let way = lane.map(|lane| (lane, home));
                    return Ok(response.map(|incoming| Coming { incoming, way }));
                }
                Err((_, Some(not_sent))) if was_kept => request = not_sent,
                Err((error, _)) => return Err(NoAnswer::Broken(error)),
            }
        }
    }

    async fn connect(&self, origin: &Origin) -> Result<Lane, NoAnswer> {
        let uri = Uri::builder()
            .scheme(origin.scheme.clone())
            .authority(origin.authority.clone())
            .path_and_query("/")
            .build()
            .map_err(|error| NoAnswer::Connect(error.into()))?;
        let stream = self.connector.clone().oneshot(uri).await;
        let shaken = http1::handshake(stream.map_err(NoAnswer::Connect)?).await;
        let (sender, connection) = shaken.map_err(NoAnswer::Broken)?;
        Ok(Lane {
            sender,
            connection: Box::new(connection),
        })
    }

    fn take(&self, origin: &Origin) -> Option<Lane> {
        let mut all = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, unused) = all.iter_mut().find(|(leads_to, _)| leads_to == origin)?;
        unused.pop().map(|unused| unused.lane)
    }

    /// Closes what has been unused for long, and lets go of what providers have closed.
    pub(crate) fn tidy(&self) {
        let mut all = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, unused) in &mut *all {
            unused.retain_mut(|one| one.since.elapsed() < IDLE && one.lane.is_open());
        }
        all.retain(|(_, unused)| !unused.is_empty());
    }
}

/// What came of asking: the answer, and what it comes over as long as that is open; or why there is none, and the
/// request, if it was not sent.
type Asked = Result<(Response<Incoming>, Option<Lane>), (hyper::Error, Option<Request<Sending>>)>;

impl Lane {
    async fn ask(self, request: Request<Sending>) -> Asked {
        let mut sender = self.sender;
        let mut connection = Some(self.connection);
        let mut answer = pin!(sender.try_send_request(request));
        let answered = std::future::poll_fn(|context| {
            // One that has ended is let go of: only then does what it has not sent come back.
            if let Some(open) = &mut connection
                && open.poll_unpin(context).is_ready()
            {
                connection = None;
            }
            answer.as_mut().poll(context)
        });
        match answered.await {
            Ok(response) => {
                let lane = connection.map(|connection| Self { sender, connection });
                Ok((response, lane))
            }
            Err(mut error) => {
                let request = error.take_message();
                Err((error.into_error(), request))
            }
        }
    }

    /// Looks whether it is, as far as can be told without waiting.
    fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.connection.poll_unpin(&mut context).is_pending()
    }
}

/// Where a connection is put when it is not used any more.
struct Home {
    unused: Arc<Mutex<AllUnused>>,
    origin: Origin,
}

impl Home {
    fn take_back(self, mut lane: Lane) {
        // It notices that it is done when it is driven next.
        if !lane.sender.is_ready() && !lane.is_open() {
            return;
        }
        if lane.sender.is_ready() {
            self.keep(lane);
        } else if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.let_finish(lane));
        }
    }

    /// Its provider has answered before it had all of an upload. Were the rest cut off at once, so would be what of
    /// the answer is still on its way to the caller, who cannot know yet.
    async fn let_finish(self, mut lane: Lane) {
        let sent = std::future::poll_fn(|context| {
            if lane.connection.poll_unpin(context).is_ready() {
                return Poll::Ready(false);
            }
            lane.sender.poll_ready(context).map(|ready| ready.is_ok())
        });
        let sent = tokio::time::timeout(FINISH, sent).await;
        if sent == Ok(true) {
            self.keep(lane);
        }
    }

    fn keep(self, lane: Lane) {
        let unused = Unused {
            lane,
            since: Instant::now(),
        };
        let mut all = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|(origin, _)| *origin == self.origin) {
            Some((_, others)) if others.len() >= IDLE_FOR_EACH => {}
            Some((_, others)) => others.push(unused),
            None => all.push((self.origin, vec![unused])),
        }
    }
}

/// An answer's body, as it comes.
pub(crate) struct Coming {
    incoming: Incoming,
    /// What it comes over; none once that is closed, or given back.
    way: Option<(Lane, Home)>,
}

impl Coming {
    fn give_back(&mut self) {
        if let Some((lane, home)) = self.way.take() {
            home.take_back(lane);
        }
    }
}

impl Body for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut frame = Pin::new(&mut self.incoming).poll_frame(context);
        if frame.is_pending()
            && let Some((lane, _)) = &mut self.way
        {
            if lane.connection.poll_unpin(context).is_ready() {
                self.way = None;
            }
            frame = Pin::new(&mut self.incoming).poll_frame(context);
        }
        if matches!(frame, Poll::Ready(None)) {
            self.give_back();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // Whoever has as many bytes as were announced need not ask for the end.
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests;

//! Bodies read as a whole, within bounds.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cockpit_door::let_finish;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use crate::memory::{self, Share};
use crate::refusal::Refusal;
use crate::upstream::Coming;

/// The largest request: pictures travel inside.
const LARGEST_REQUEST: usize = 64 << 20;
/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a request.
pub(crate) async fn read(mut body: Incoming, share: Share) -> Result<Bytes, Refusal> {
    let read = timeout(BODY_TIMEOUT, whole(&mut body, share)).await;
    match read {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(refusal)) => {
            // What was read of it is given back by now: as much again passes, but is not held.
            let_finish(body, LARGEST_REQUEST).await;
            Err(refusal)
        }
        Err(_) => Err(Refusal::new(
            "caller_too_slow",
            format!(
                "the request's body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

async fn whole(body: &mut Incoming, mut share: Share) -> Result<Bytes, Refusal> {
    let mut all = BytesMut::new();
    let mut first = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Refusal::new("caller_malformed_request", "the request's body broke off")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if all.len() + data.len() > LARGEST_REQUEST {
            return Err(Refusal::new(
                "caller_too_large",
                format!("the request is larger than {} MiB", LARGEST_REQUEST >> 20),
            ));
        }
        if !share.grow(data.len()) {
            return Err(Refusal::new(
                "gateway_overloaded",
                format!(
                    "the requests under way take {} MiB, which is all there is for them; try again in a moment",
                    memory::MOST >> 20
                ),
            )
            .retry_after(Some(Duration::from_secs(1))));
        }
        // Most come in one piece, which need not be copied.
        if first.is_none() && all.is_empty() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(share.of(first.unwrap_or_else(|| all.freeze())))
}

/// Why an answer could not be read.
pub(super) enum Gathering {
    Late,
    Broken,
}

/// An answer that was read: all of it, or its beginning and what is unread.
pub(super) struct Gathered {
    read: VecDeque<Bytes>,
    share: Share,
    pub(super) rest: Option<Coming>,
}

/// Reads an answer up to a size, or as long as there is memory for it.
pub(super) async fn gather(
    mut incoming: Coming,
    most: usize,
    mut share: Share,
    deadline: Instant,
    idle: Duration,
) -> Result<Gathered, Gathering> {
    let mut read = VecDeque::new();
    let (mut size, mut room) = (0, true);
    loop {
        let until = deadline.min(Instant::now() + idle);
        match timeout_at(until, incoming.frame()).await {
            Err(_) => return Err(Gathering::Late),
            Ok(None) => {
                return Ok(Gathered {
                    read,
                    share,
                    rest: None,
                });
            }
            Ok(Some(Err(_))) => return Err(Gathering::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    size += data.len();
                    room = share.grow(data.len());
                    read.push_back(data);
                }
            }
        }
        if size > most || !room {
            return Ok(Gathered {
                read,
                share,
                rest: Some(incoming),
            });
        }
    }
}

impl Gathered {
    /// What was read, in pieces.
    pub(super) fn pieces(self) -> VecDeque<Bytes> {
        let Self {
            mut read, share, ..
        } = self;
        if let Some(last) = read.pop_back() {
            read.push_back(share.of(last));
        }
        read
    }

    /// What was read, as one.
    pub(super) fn joined(self) -> Bytes {
        let Self {
            mut read, share, ..
        } = self;
        if read.len() == 1
            && let Some(only) = read.pop_front()
        {
            return share.of(only);
        }
        let mut all = BytesMut::with_capacity(read.iter().map(Bytes::len).sum());
        for piece in read {
            all.extend_from_slice(&piece);
        }
        share.of(all.freeze())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::convert::Infallible;
    use std::sync::Arc;

    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::sleep;

    use super::*;
    use crate::body::Outgoing;
    use crate::memory::{MOST, Memory};

    /// A connection over which a body may be sent that is announced as this long, and what comes of reading it: its
    /// size, or the code of the refusal.
    async fn caller(
        memory: &Arc<Memory>,
        announced: usize,
    ) -> (DuplexStream, UnboundedReceiver<Result<usize, &'static str>>) {
        let (mut ours, theirs) = duplex(1 << 20);
        let (told, reads) = unbounded_channel();
        let memory = Arc::clone(memory);
        let service = service_fn(move |request: Request<Incoming>| {
            let (share, told) = (memory.share(), told.clone());
            async move {
                let read = read(request.into_body(), share).await;
                let _ = told.send(read.map(|body| body.len()).map_err(|refusal| refusal.code));
                Ok::<_, Infallible>(Response::new(Outgoing::empty()))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(theirs), service));
        let head = format!("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: {announced}\r\n\r\n");
        ours.write_all(head.as_bytes()).await.unwrap();
        (ours, reads)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_too_much_holds_neither_memory_nor_time() {
        let memory = Arc::<Memory>::default();
        let (mut io, mut reads) = caller(&memory, LARGEST_REQUEST + (1 << 20)).await;
        io.write_all(&vec![b'x'; LARGEST_REQUEST]).await.unwrap();
        // The clock goes on when nothing else can happen.
        sleep(Duration::from_secs(1)).await;
        assert!(
            !memory.share().grow(MOST),
            "it is held while it may be wanted"
        );
        io.write_all(b"x").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(memory.share().grow(MOST), "and not any longer");
        assert!(reads.try_recv().is_err(), "the rest may still come");
        let read = timeout(Duration::from_secs(8), reads.recv()).await;
        assert_eq!(read, Ok(Some(Err("caller_too_large"))), "and not for long");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_room_is_let_finish_too() {
        let memory = Arc::<Memory>::default();
        let mut others = memory.share();
        assert!(others.grow(MOST));
        let size = 8 << 20;
        let (mut io, mut reads) = caller(&memory, size).await;
        io.write_all(&vec![b'x'; size]).await.unwrap();
        assert_eq!(reads.recv().await, Some(Err("gateway_overloaded")));
        drop(others);
        let (mut io, mut reads) = caller(&memory, size).await;
        io.write_all(&vec![b'x'; size]).await.unwrap();
        assert_eq!(reads.recv().await, Some(Ok(size)));
    }
}

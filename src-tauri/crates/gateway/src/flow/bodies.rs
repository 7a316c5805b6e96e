//! Bodies read as a whole, within bounds.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
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
pub(crate) async fn read(body: Incoming, mut share: Share) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            "caller_too_large",
            format!("the request is larger than {} MiB", LARGEST_REQUEST >> 20),
        )
    };
    let overloaded = || {
        Refusal::new(
            "gateway_overloaded",
            format!(
                "the requests under way take {} MiB, which is all there is for them; try again in a moment",
                memory::MOST >> 20
            ),
        )
        .retry_after(Some(Duration::from_secs(1)))
    };
    let mut body = body;
    let reading = async {
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
                let_finish(&mut body).await;
                return Err(too_large());
            }
            if !share.grow(data.len()) {
                return Err(overloaded());
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
    };
    timeout(BODY_TIMEOUT, reading).await.unwrap_or_else(|_| {
        Err(Refusal::new(
            "caller_too_slow",
            format!(
                "the request's body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        ))
    })
}

/// Most write all they have before they read an answer: were it refused at once, they would hear of a broken
/// connection alone. As much again is let through, unread.
async fn let_finish(body: &mut Incoming) {
    let mut left = LARGEST_REQUEST;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
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

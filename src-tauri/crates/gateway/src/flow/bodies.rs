//! Bodies read as a whole, within bounds.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use crate::refusal::Refusal;

/// The largest request: pictures travel inside.
const LARGEST_REQUEST: usize = 64 << 20;
/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads a request.
pub(super) async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            "caller_too_large",
            format!("the request is larger than {} MiB", LARGEST_REQUEST >> 20),
        )
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
                return Err(too_large());
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
        Ok(first.unwrap_or_else(|| all.freeze()))
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

/// Why an answer could not be read.
pub(super) enum Gathering {
    Late,
    Broken,
}

/// Reads an answer up to a size; what is beyond is handed back unread.
pub(super) async fn gather(
    mut incoming: Incoming,
    most: usize,
    deadline: Instant,
    idle: Duration,
) -> Result<(VecDeque<Bytes>, Option<Incoming>), Gathering> {
    let mut read = VecDeque::new();
    let mut size = 0;
    loop {
        let until = deadline.min(Instant::now() + idle);
        match timeout_at(until, incoming.frame()).await {
            Err(_) => return Err(Gathering::Late),
            Ok(None) => return Ok((read, None)),
            Ok(Some(Err(_))) => return Err(Gathering::Broken),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    size += data.len();
                    read.push_back(data);
                }
            }
        }
        if size > most {
            return Ok((read, Some(incoming)));
        }
    }
}

/// Pieces as one.
pub(super) fn joined(mut read: VecDeque<Bytes>) -> Bytes {
    if read.len() == 1
        && let Some(only) = read.pop_front()
    {
        return only;
    }
    let mut all = BytesMut::with_capacity(read.iter().map(Bytes::len).sum());
    for piece in read {
        all.extend_from_slice(&piece);
    }
    all.freeze()
}

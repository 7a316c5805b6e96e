//! What a fault does to the pieces of an answer.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

use super::order::{Kind, Order};
use crate::dialect::Dialect;
use crate::serving::Peer;

type Outlet = mpsc::Sender<Result<Bytes, io::Error>>;

const PADDING: u64 = 100_000_000;
const BLOCK: usize = 64 << 10;
/// How much more a lying `content-length` promises.
const LIE: usize = 100;

/// The same answer with the fault in it.
pub(super) async fn spoil(
    order: Order,
    dialect: Dialect,
    peer: Option<Peer>,
    answer: Response,
) -> Response {
    let (mut parts, body) = answer.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let streamed =
        kind.is_some_and(|kind| kind == "text/event-stream" || kind == "application/x-ndjson");
    parts.headers.remove(header::CONTENT_LENGTH);
    let (outlet, received) = mpsc::channel(4);
    let spoiler = Spoiler {
        dialect,
        peer,
        streamed,
        after: order.after.unwrap_or(if streamed { 2 } else { 1 }),
        order,
        outlet,
    };
    if streamed {
        let pieces = body.into_data_stream().filter_map(Result::ok);
        tokio::spawn(spoiler.pour(pieces));
    } else {
        let whole = axum::body::to_bytes(body, usize::MAX)
            .await
            .unwrap_or_default();
        if spoiler.order.kind == Kind::Length {
            parts
                .headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len() + LIE));
        }
        let quarter = whole.len().div_ceil(4).max(1);
        let pieces: Vec<Bytes> = (0..whole.len())
            .step_by(quarter)
            .map(|from| whole.slice(from..whole.len().min(from + quarter)))
            .collect();
        tokio::spawn(spoiler.pour(tokio_stream::iter(pieces)));
    }
    let body = Body::from_stream(ReceiverStream::new(received));
    Response::from_parts(parts, body)
}

/// The client is gone.
struct Gone;

struct Spoiler {
    order: Order,
    dialect: Dialect,
    peer: Option<Peer>,
    streamed: bool,
    after: usize,
    outlet: Outlet,
}

impl Spoiler {
    async fn pour(self, pieces: impl Stream<Item = Bytes> + Send) {
        let mut pieces = std::pin::pin!(pieces);
        // That the client is gone ends the pouring; there is nobody to tell.
        let _ = self.pour_all(&mut pieces).await;
    }

    async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        self.outlet.send(Ok(piece)).await.map_err(|_| Gone)
    }

    async fn pour_all(
        &self,
        pieces: &mut (impl Stream<Item = Bytes> + Unpin + Send),
    ) -> Result<(), Gone> {
        match self.order.kind {
            Kind::Empty => return Ok(()),
            Kind::Drip => {
                let every = Duration::from_millis(self.order.every_ms.unwrap_or(200));
                while let Some(piece) = pieces.next().await {
                    sleep(every).await;
                    self.send(piece).await?;
                }
                return Ok(());
            }
            Kind::Huge => self.padded(pieces).await?,
            Kind::Length => {}
            _ => self.then_fail(pieces).await?,
        }
        while let Some(piece) = pieces.next().await {
            self.send(piece).await?;
        }
        if self.order.kind == Kind::Length {
            breathe().await;
        }
        Ok(())
    }

    /// The faults that begin after some pieces. What is left in `pieces` follows.
    async fn then_fail(
        &self,
        pieces: &mut (impl Stream<Item = Bytes> + Unpin + Send),
    ) -> Result<(), Gone> {
        let mut last = Bytes::new();
        for _ in 0..self.after {
            let Some(piece) = pieces.next().await else {
                break;
            };
            last.clone_from(&piece);
            self.send(piece).await?;
        }
        match self.order.kind {
            Kind::Stall => {
                self.outlet.closed().await;
                Err(Gone)
            }
            Kind::Reset => {
                breathe().await;
                if let Some(peer) = &self.peer {
                    peer.reset();
                }
                let error = io::Error::from(io::ErrorKind::ConnectionReset);
                let _ = self.outlet.send(Err(error)).await;
                Err(Gone)
            }
            Kind::Endless => {
                let every = Duration::from_millis(self.order.every_ms.unwrap_or(1));
                let again = if self.streamed {
                    last
                } else {
                    Bytes::from(vec![b' '; 1024])
                };
                loop {
                    sleep(every).await;
                    self.send(again.clone()).await?;
                }
            }
            Kind::Midstream => {
                self.send(self.dialect.error_in_stream()).await?;
                Err(Gone)
            }
            Kind::Utf8 => {
                let Some(piece) = pieces.next().await else {
                    return Ok(());
                };
                let mut bytes = piece.to_vec();
                // Inside the text where there is one, so that only the text is broken.
                let place = inside_text(&bytes);
                bytes.splice(place..place, [0xff, 0xfe, 0x80]);
                self.send(Bytes::from(bytes)).await
            }
            Kind::Malformed => {
                let Some(piece) = pieces.next().await else {
                    return Ok(());
                };
                let half = piece.slice(..piece.len() / 2);
                self.send(half).await?;
                if !self.streamed {
                    return Err(Gone);
                }
                // What ends an event and a line, so that the next one begins well.
                self.send(Bytes::from_static(b"\n\n")).await
            }
            // Cut, and what has no business here.
            _ => Err(Gone),
        }
    }

    /// The first object of the answer gets a field with the padding.
    async fn padded(
        &self,
        pieces: &mut (impl Stream<Item = Bytes> + Unpin + Send),
    ) -> Result<(), Gone> {
        let Some(first) = pieces.next().await else {
            return Ok(());
        };
        let Some(brace) = first.iter().position(|byte| *byte == b'{') else {
            return self.send(first).await;
        };
        self.send(first.slice(..=brace)).await?;
        self.send(Bytes::from_static(b"\"padding\":\"")).await?;
        let block = Bytes::from(vec![b'x'; BLOCK]);
        let mut left = self.order.bytes.unwrap_or(PADDING);
        while left > 0 {
            let part = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            self.send(block.slice(..part)).await?;
            left -= part as u64;
        }
        self.send(Bytes::from_static(b"\",")).await?;
        self.send(first.slice(brace + 1..)).await
    }
}

/// What was sent goes out while nothing more comes: an answer that ends wrongly would take it along.
async fn breathe() {
    sleep(Duration::from_millis(20)).await;
}

/// Behind the last `":"` with letters after it, from the middle on.
fn inside_text(bytes: &[u8]) -> usize {
    let text = bytes
        .windows(3)
        .rposition(|w| w.starts_with(b":\"") && w.last().is_some_and(|b| *b != b'"'));
    text.map_or(bytes.len() / 2, |at| at + 2)
}

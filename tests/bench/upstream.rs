//! An upstream that is no bottleneck: as little as HTTP can be, in a process of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::support::free_port;

/// What OpenAI answers to a short question.
const WHOLE: &str = r#"{"id":"chatcmpl-9f3a","object":"chat.completion","created":1735689600,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"A mole is a small mammal that lives underground, digs tunnels, and eats worms.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":18,"total_tokens":37,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_50cad350e4"}"#;
const PIECE: &str = "data: {\"id\":\"chatcmpl-9f3a\",\"object\":\"chat.completion.chunk\",\"created\":1735689600,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" mole\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
const LAST: &str = "data: {\"id\":\"chatcmpl-9f3a\",\"object\":\"chat.completion.chunk\",\"created\":1735689600,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":18,\"total_tokens\":37}}\n\ndata: [DONE]\n\n";
/// Pieces of a stream, each in a write of its own.
const PIECES: usize = 18;

pub(crate) struct Upstream {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["child-upstream", &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, port }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child: answers until it is killed.
pub(crate) async fn child(port: &str) {
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Pieces>>, Infallible> {
    let asked = request.into_body().collect().await;
    let asked = asked
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let stream = memchr::memmem::find(&asked, b"\"stream\":true").is_some();
    let (kind, body) = if stream {
        ("text/event-stream", Either::Right(Pieces(0)))
    } else {
        let whole = Full::new(Bytes::from_static(WHOLE.as_bytes()));
        ("application/json", Either::Left(whole))
    };
    Ok(Response::builder()
        .header("content-type", kind)
        .header("x-request-id", "req_0123456789abcdef")
        .header("openai-processing-ms", "1")
        .body(body)
        .unwrap())
}

/// A stream, piece by piece.
struct Pieces(usize);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let turn = self.0;
        self.0 += 1;
        // Every second turn nothing is there: what was given before is written out.
        if turn % 2 == 1 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = match turn / 2 {
            n if n < PIECES => PIECE,
            PIECES => LAST,
            _ => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

//! OTLP's listener: connections, bodies, and to what they go.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cockpit_panics::Outlived;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::answer::{Refusal, plain, preflight, success};
use super::intake::{MOST_BYTES, Trouble};
use super::{Encoding, Intake, Rules, Signal};

/// Connections held at once; further ones wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 128;
/// How long a request's head may take, also between two requests of one connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the rest of one that is too large may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an exporter may take nothing of an answer that is there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of bodies that are held at once: further ones wait before they are read.
const ROOM: usize = 256 << 20;
/// What the room is counted in, in bytes.
const UNIT: usize = 1 << 10;
/// The largest head: request line and headers.
const LARGEST_HEAD: usize = 32 << 10;
/// How long answers under way may take once the door closes.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// The listener.
#[derive(Clone)]
pub struct Door {
    intake: Arc<Intake>,
    rules: Arc<Rules>,
    room: Arc<Semaphore>,
}

impl Door {
    /// A door to this intake.
    pub fn new(intake: Arc<Intake>, rules: Rules) -> Self {
        Self {
            intake,
            rules: Arc::new(rules),
            room: Arc::new(Semaphore::new(ROOM / UNIT)),
        }
    }

    /// Takes connections until `stop` resolves; requests under way are answered, within bounds.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let closing = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot,
                () = &mut stop => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, as a rule: some will be given back.
                    tracing::warn!(%error, "OTLP's listener cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let serving = connection(self.clone(), stream, peer.ip(), closing.clone());
            connections.spawn(Outlived::new(async move {
                serving.await;
                drop(slot);
            }));
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        closing.cancel();
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, finished).await.is_err() {
            tracing::debug!("some exporters were cut off while the door closed");
        }
    }

    async fn answer(self, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let encoding = encoding(&parts.headers);
        let told_in = encoding.unwrap_or(Encoding::Json);
        let origin = parts.headers.get(header::ORIGIN).cloned();
        if let Err(refusal) =
            self.rules
                .admit(&parts.headers, peer, parts.method == Method::OPTIONS)
        {
            return refusal.answer(told_in);
        }
        let mut answer = if parts.method == Method::OPTIONS && origin.is_some() {
            preflight(&parts.headers)
        } else {
            let taken = self.take(
                &parts.method,
                parts.uri.path(),
                &parts.headers,
                encoding,
                body,
            );
            taken
                .await
                .unwrap_or_else(|refusal| refusal.answer(told_in))
        };
        if let Some(origin) = origin {
            let headers = answer.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        answer
    }

    async fn take(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        encoding: Option<Encoding>,
        body: Incoming,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let signal = match path.trim_end_matches('/') {
            "/v1/traces" => Signal::Traces,
            "/v1/metrics" => Signal::Metrics,
            "/v1/logs" => Signal::Logs,
            _ => {
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "there is nothing at this path: send to /v1/traces, /v1/metrics or /v1/logs",
                ));
            }
        };
        if method != Method::POST {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path takes POST alone",
            ));
        }
        let encoding = encoding.ok_or_else(|| {
            Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is declared as something else: send application/x-protobuf or application/json \
                 (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)",
            )
        })?;
        let packing = headers.get(header::CONTENT_ENCODING);
        let gzip = match packing.map(|packing| packing.to_str().unwrap_or("?").trim()) {
            None | Some("" | "identity") => false,
            Some("gzip" | "x-gzip") => true,
            Some(_) => {
                return Err(Refusal::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "the body is packed in a way that is not known here: use gzip, or none",
                ));
            }
        };
        let _room = self.room(&body).await?;
        let body = whole(body).await?;
        let taken = Arc::clone(&self.intake)
            .take(signal, encoding, body, gzip)
            .await;
        match taken {
            Ok(refused) => Ok(plain(
                StatusCode::OK,
                encoding,
                success(signal, encoding, &refused),
            )),
            Err(Trouble::Malformed(why)) => Err(Refusal::new(StatusCode::BAD_REQUEST, why)),
            Err(Trouble::TooLarge) => Err(too_large()),
            Err(Trouble::Later(why)) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{why}; send it again"),
            )),
        }
    }
}

impl Door {
    /// Room for a body, for as long as it is held; the largest where its size is not told.
    async fn room(&self, body: &Incoming) -> Result<SemaphorePermit<'_>, Refusal> {
        use hyper::body::Body as _;
        let size = body.size_hint().exact();
        let size = size.map_or(MOST_BYTES, |size| {
            usize::try_from(size).unwrap_or(MOST_BYTES)
        });
        let units = u32::try_from(size.min(MOST_BYTES).div_ceil(UNIT)).unwrap_or(u32::MAX);
        let wanted = tokio::time::timeout(BODY_TIMEOUT, self.room.acquire_many(units)).await;
        wanted.ok().and_then(Result::ok).ok_or_else(|| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too much is being sent at once; send it again",
            )
        })
    }
}

async fn connection(door: Door, stream: TcpStream, peer: IpAddr, closing: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off delayed sending");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(peer, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(LARGEST_HEAD);
    // An exporter that stops reading holds a place: hyper itself would wait without end.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let mut serving = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an exporter's connection ended badly");
    }
}

async fn whole(mut body: Incoming) -> Result<Bytes, Refusal> {
    let reading = Limited::new(&mut body, MOST_BYTES).collect();
    let read = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let_finish(body).await;
            Err(too_large())
        }
        Ok(Err(error)) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body could not be read: {error}"),
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// Exporters write all they have before they read an answer: were they refused at once, they would hear of a broken
/// connection, and send the same again. As much again is let through, unread.
async fn let_finish(body: Incoming) {
    let mut rest = Limited::new(body, MOST_BYTES);
    let finished = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Whoever is slow has not read our answer yet, and may never.
    let _ = tokio::time::timeout(FINISH_TIMEOUT, finished).await;
}

fn too_large() -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "more than {MOST_BYTES} bytes are not taken at once: let the exporter send smaller batches"
        ),
    )
}

/// How the body says it is written.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let told = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = told.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

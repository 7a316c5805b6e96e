//! OTLP's door: who is let in, bodies, and to what they go.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cockpit_door::{Bounds, let_finish};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::{Refusal, plain, preflight, success};
use super::intake::{MOST_BYTES, Trouble};
use super::{Encoding, Intake, Rules, Signal};

const BOUNDS: Bounds = Bounds {
    door: "OTLP",
    connections: 128,
    head: 32 << 10,
    head_timeout: Duration::from_secs(75),
    last_answers: Duration::from_secs(5),
};
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of bodies that are held at once: further ones wait before they are read.
const ROOM: usize = 256 << 20;
/// What the room is counted in, in bytes.
const UNIT: usize = 1 << 10;

/// See the module. Cheap to clone.
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
        let answer = move |peer, request| self.clone().answer(peer, request);
        cockpit_door::serve(listener, BOUNDS, stop, answer).await;
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

async fn whole(mut body: Incoming) -> Result<Bytes, Refusal> {
    let reading = Limited::new(&mut body, MOST_BYTES).collect();
    let read = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let_finish(body, MOST_BYTES).await;
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

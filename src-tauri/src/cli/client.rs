//! A client of the engine's API over its unix socket. The command line and the window use it.
//!
//! One connection a request: on a unix socket that costs microseconds, and a client that keeps
//! nothing open has nothing to mend when the engine is replaced under it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use cockpit_model::{Code, Problem};
use futures_util::{Stream, stream};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

pub use super::sse::Message;
use super::sse::Parser;

/// How long an answer to a question may take. Actions may take as long as they take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one engine; cheap to make and to clone.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the engine that listens on this socket. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends a request and takes the whole answer, whatever its status. A body is sent as JSON.
    ///
    /// # Errors
    /// [`Code::NotRunning`] when no engine listens, or it went away; [`Code::BadRequest`] when the
    /// method or the path cannot be sent.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), Problem> {
        let response = self.send(method, path, body, None).await?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| self.lost(&error))?
            .to_bytes();
        Ok((status, body))
    }

    /// Asks for something and gives the answer's bytes.
    ///
    /// # Errors
    /// As [`Self::request`]; and the engine's own [`Problem`] when it refuses.
    pub async fn get_bytes(&self, path: &str) -> Result<Bytes, Problem> {
        let asked = self.request("GET", path, None);
        let (status, body) = tokio::time::timeout(READ_TIMEOUT, asked)
            .await
            .map_err(|_| {
                Problem::new(Code::Internal, "the engine does not answer")
                    .detail(format!("waited {} s for {path}", READ_TIMEOUT.as_secs()))
                    .remedy("end it and start it again: `studio-cockpit serve`; the services go on")
            })??;
        accepted(status, body)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// As [`Self::get_bytes`]; [`Code::Internal`] when the answer is not understood.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        understood(&self.get_bytes(path).await?)
    }

    /// Has something done and waits until it is.
    ///
    /// # Errors
    /// As [`Self::get`], but with no time limit.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Problem::new(Code::Internal, "cannot write JSON").detail(error.to_string())
        })?;
        let (status, body) = self.request("POST", path, Some(body.into())).await?;
        understood(&accepted(status, body)?)
    }

    /// Opens a live stream, resumed after `last_event_id`. Resolves once the engine has accepted
    /// it; the stream ends when the engine ends it, or with an error when it is cut.
    ///
    /// # Errors
    /// As [`Self::get_bytes`].
    pub async fn stream(
        &self,
        path: &str,
        last_event_id: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Message, Problem>> + Send + use<>, Problem> {
        let response = self.send("GET", path, None, Some(last_event_id)).await?;
        let status = response.status();
        if !status.is_success() {
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| self.lost(&error))?.to_bytes();
            return Err(refused(status, &body));
        }
        let state = (response.into_body(), Parser::default(), self.clone());
        Ok(stream::try_unfold(
            state,
            |(mut body, mut parser, client)| async move {
                loop {
                    if let Some(message) = parser.next() {
                        return Ok(Some((message, (body, parser, client))));
                    }
                    let Some(frame) = body.frame().await else {
                        return Ok(None);
                    };
                    let frame = frame.map_err(|error| client.lost(&error))?;
                    if let Some(piece) = frame.data_ref() {
                        parser.feed(piece).map_err(|_| {
                            Problem::new(Code::Internal, "the engine sent an endless message")
                        })?;
                    }
                }
            },
        ))
    }

    /// Sends a request; `stream` holds, for a live stream, where it resumes.
    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Bytes>,
        stream: Option<Option<&str>>,
    ) -> Result<Response<Incoming>, Problem> {
        let unsendable = |what: String| {
            Problem::new(Code::BadRequest, "the request cannot be sent").detail(what)
        };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| unsendable(format!("`{method}` is no method")))?;
        if !path.starts_with('/') {
            return Err(unsendable(format!("`{path}` is no path")));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(resume) = stream {
            request = request.header(ACCEPT, "text/event-stream");
            if let Some(id) = resume {
                request = request.header("last-event-id", id);
            }
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| unsendable(error.to_string()))?;
        let io = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(|error| self.lost(&error))?;
        // Ends by itself when the answer's body is read or dropped; its error shows there.
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await
            .map_err(|error| self.lost(&error))
    }

    fn unreachable(&self, error: &io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Problem::new(Code::NotRunning, "no cockpit is running")
                    .detail(format!("nobody listens on {}", self.socket.display()))
                    .remedy("start it with `studio-cockpit serve`, or open the app")
            }
            _ => Problem::new(Code::Storage, "the engine's socket cannot be used")
                .detail(format!("{}: {error}", self.socket.display())),
        }
    }

    fn lost(&self, error: &hyper::Error) -> Problem {
        Problem::new(Code::NotRunning, "the engine went away before it answered")
            .detail(format!("{}: {error}", self.socket.display()))
            .remedy(
                "the services go on; start it again with `studio-cockpit serve`, or open the app",
            )
    }
}

pub(super) fn accepted(status: StatusCode, body: Bytes) -> Result<Bytes, Problem> {
    if status.is_success() {
        Ok(body)
    } else {
        Err(refused(status, &body))
    }
}

fn refused(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        Problem::new(Code::Internal, format!("the engine answered {status}"))
            .detail(
                String::from_utf8_lossy(body)
                    .chars()
                    .take(200)
                    .collect::<String>(),
            )
            .remedy("its version may differ from this program's; see `studio-cockpit status`")
    })
}

pub(super) fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(Code::Internal, "the engine's answer is not understood")
            .detail(error.to_string())
            .remedy(
                "its version may differ from this program's; see `studio-cockpit status --json`",
            )
    })
}

/// A text as one segment of a path, or as a value in a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;

//! What a service wrote: JSON lines, or a live stream.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::sse::Event as Message;
use axum::response::{IntoResponse, Response};
use cockpit_model::logs::{LogLine, LogQuery};
use futures_util::StreamExt;

use crate::extract::ServiceName;
use crate::params::Params;
use crate::refusal::Answer;
use crate::router::App;
use crate::stream;

/// Lines sent when nothing else is asked for.
const DEFAULT_TAIL: usize = 200;
/// The most lines sent at once.
const MAX_TAIL: usize = 10_000;
/// The longest text searched for.
const MAX_GREP: usize = 1024;

pub(crate) async fn logs(
    State(app): State<App>,
    ServiceName(name): ServiceName,
    params: Params,
    request: Request,
) -> Answer<Response> {
    params.only(&["tail", "follow", "grep", "instance"])?;
    let grep = params.text("grep");
    if let Some(text) = grep.filter(|text| text.len() > MAX_GREP) {
        return Err(crate::params::bad("grep", text, "at most 1024 bytes of text").into());
    }
    let query = LogQuery {
        tail: params.count("tail", DEFAULT_TAIL, 0..=MAX_TAIL)?,
        grep: grep.map(str::to_owned),
        instance: params.number("instance")?,
    };
    if params.flag("follow")? {
        let lines = app.cockpit.follow(name, query).await?;
        let messages = lines.map(|line| Message::default().event("line").json_data(&line));
        return Ok(stream::live(&request, messages));
    }
    let lines = app.cockpit.logs(name, query).await?;
    let mut response = Body::from(json_lines(&lines)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    Ok(response)
}

fn json_lines(lines: &[LogLine]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() * 128);
    for line in lines {
        // A line is strings and numbers; writing to memory cannot fail.
        if serde_json::to_writer(&mut out, line).is_ok() {
            out.push(b'\n');
        }
    }
    out
}

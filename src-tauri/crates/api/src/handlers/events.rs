//! What happened, and what happens.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::response::sse::Event as Message;
use cockpit_model::{Code, Event, Ingested, Problem};
use futures_util::StreamExt;

use crate::extract::{service_name, whole_body};
use crate::params::{Params, bad};
use crate::refusal::{Answer, Refusal};
use crate::router::App;
use crate::stream;

/// Events answered when no number is given.
const DEFAULT_LIMIT: usize = 100;
/// The most events answered at once.
const MAX_LIMIT: usize = 1000;

pub(crate) async fn list(State(app): State<App>, params: Params) -> Answer<Json<Vec<Event>>> {
    params.only(&["limit", "service"])?;
    let limit = params.count("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    let service = params
        .text("service")
        .map(|name| service_name(name.to_owned()))
        .transpose()?;
    Ok(Json(app.cockpit.events(limit, service).await?))
}

/// Answers once what was accepted is on the disk. Also a body that is declared as plain text or not at all is taken:
/// what it holds is what counts, and clients of one line rarely declare it.
pub(crate) async fn report(State(app): State<App>, request: Request) -> Answer<Json<Ingested>> {
    let gzip = match packing(request.headers()) {
        None | Some("" | "identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(other) => {
            return Err(Refusal::with_status(
                Problem::new(
                    Code::BadRequest,
                    "the body is packed in a way that is not known here",
                )
                .detail(other.chars().take(40).collect::<String>())
                .remedy("send it as it is, or with `Content-Encoding: gzip`"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ));
        }
    };
    let body = whole_body(request, &()).await?;
    match app.cockpit.ingest(body, gzip).await {
        Ok(ingested) => Ok(Json(ingested)),
        // The same body may be sent again in a moment.
        Err(problem) if problem.code == Code::Storage => Err(Refusal::with_status(
            problem,
            StatusCode::SERVICE_UNAVAILABLE,
        )),
        Err(problem) => Err(problem.into()),
    }
}

fn packing(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_ENCODING)?;
    Some(value.to_str().unwrap_or("not text").trim())
}

pub(crate) async fn stream(
    State(app): State<App>,
    params: Params,
    request: Request,
) -> Answer<Response> {
    params.only(&["last_event_id"])?;
    let after = resume_point(request.headers(), &params)?;
    let messages = app.cockpit.subscribe(after).map(|event| message(&event));
    Ok(stream::live(&request, messages))
}

/// The last event the reader has: the header a browser sends when it reconnects, else the query.
fn resume_point(headers: &HeaderMap, params: &Params) -> Result<Option<u64>, Problem> {
    let header = headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or("not text").trim());
    match header.filter(|text| !text.is_empty()) {
        None => params.number("last_event_id"),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let mut problem = bad("Last-Event-ID", text, "the sequence number of an event");
            problem.title = "the header `Last-Event-ID` is not valid".to_owned();
            problem
        }),
    }
}

/// Only what is kept carries an id: a reader resumes after the last id it saw, and what only paints
/// the present must not move that point.
fn message(event: &Event) -> Result<Message, axum::Error> {
    let message = Message::default()
        .event(event.body.kind())
        .json_data(event)?;
    Ok(if event.body.is_live_only() {
        message
    } else {
        message.id(event.seq.to_string())
    })
}

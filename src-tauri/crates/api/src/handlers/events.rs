//! What happened, and what happens.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event as Message;
use cockpit_model::{Event, Problem};
use futures_util::StreamExt;

use crate::extract::service_name;
use crate::params::{Params, bad};
use crate::refusal::Answer;
use crate::router::App;
use crate::stream;

/// Events answered when no number is given.
const DEFAULT_LIMIT: usize = 100;
/// The most events answered at once.
const MAX_LIMIT: usize = 1000;

pub(crate) async fn list(State(app): State<App>, params: Params) -> Answer<Json<Vec<Event>>> {
    let limit = params.count("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT)?;
    let service = params
        .text("service")
        .map(|name| service_name(name.to_owned()))
        .transpose()?;
    Ok(Json(app.cockpit.events(limit, service).await?))
}

pub(crate) async fn stream(
    State(app): State<App>,
    params: Params,
    request: Request,
) -> Answer<Response> {
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

//! The engine itself: is it well, what does it say, end it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cockpit_model::{Code, Problem, Status};
use cockpit_panics::outlived;
use serde::{Deserialize, Serialize};

use crate::cockpit::{LoginItem, Plan};
use crate::extract::JsonBody;
use crate::refusal::Answer;
use crate::router::App;
use crate::{metrics, openapi};

/// The process answers.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The engine has read its configuration and taken up its services. It speaks for the engine, not
/// for the services.
pub(crate) async fn readyz(State(app): State<App>) -> Answer<&'static str> {
    if app.cockpit.ready() {
        Ok("ready\n")
    } else {
        Err(
            Problem::new(Code::NotRunning, "the engine is still starting")
                .remedy("ask again in a moment")
                .into(),
        )
    }
}

pub(crate) async fn status(State(app): State<App>) -> Json<Status> {
    Json(app.cockpit.status())
}

pub(crate) async fn metrics(State(app): State<App>) -> Answer<Response> {
    // A machine that cannot be sampled leaves its figures out; it is not a reason to show none.
    let host = app.cockpit.host(Duration::from_secs(1), 1).await;
    // It is much text, and what was reported may be locked while more of it is taken in.
    let write = move || {
        let mut text = metrics::encode(&metrics::Source {
            status: &app.cockpit.status(),
            services: &app.cockpit.services(),
            host: host.as_ref().ok().map(|view| &view.now),
            counted: &app.cockpit.counted(),
            gateway: &app.cockpit.gateway(),
            breakers: &app.cockpit.breakers(),
        });
        text.push_str(&app.cockpit.reported_metrics());
        text
    };
    let writing = tokio::task::spawn_blocking(|| outlived(write));
    let text = writing.await.map_err(|error| {
        Problem::new(Code::Internal, "the figures could not be written").detail(error.to_string())
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

pub(crate) async fn openapi() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        openapi::document(),
    )
        .into_response()
}

pub(crate) async fn detect(State(app): State<App>) -> Answer<Json<Plan>> {
    Ok(Json(app.cockpit.detect().await?))
}

pub(crate) async fn login(State(app): State<App>) -> Answer<Json<LoginItem>> {
    Ok(Json(app.cockpit.login_item().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetLogin {
    on: bool,
}

pub(crate) async fn set_login(
    State(app): State<App>,
    JsonBody(SetLogin { on }): JsonBody<SetLogin>,
) -> Answer<Json<LoginItem>> {
    Ok(Json(app.cockpit.set_login_item(on).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stop {
    #[serde(default)]
    stop_services: bool,
}

#[derive(Serialize)]
pub(crate) struct Stopping {
    stopping: bool,
    stop_services: bool,
}

pub(crate) async fn stop(
    State(app): State<App>,
    JsonBody(Stop { stop_services }): JsonBody<Stop>,
) -> Answer<(StatusCode, Json<Stopping>)> {
    app.cockpit.shutdown(stop_services).await?;
    let answer = Stopping {
        stopping: true,
        stop_services,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

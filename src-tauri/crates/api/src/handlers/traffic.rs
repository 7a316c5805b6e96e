//! Requests to models: single ones, what they amount to, and the breakers that guard their targets.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use cockpit_model::kept::CallDetail;
use cockpit_model::usage::{Dimension, Usage};
use cockpit_model::{BreakerView, Call, Code, GatewayView, Outcome, Problem};
use serde::{Deserialize, Serialize};

use crate::cockpit::{CallsAsked, UsageAsked};
use crate::params::{Params, bad};
use crate::refusal::Answer;
use crate::router::App;

/// The window of usage when none is given.
const USAGE_WINDOW: Duration = Duration::from_hours(24);
/// The window of single calls when none is given.
const CALLS_WINDOW: Duration = Duration::from_hours(1);
/// How many single calls when no number is given.
const CALLS: usize = 100;
/// The most single calls of one answer.
const MOST_CALLS: usize = 10_000;

pub(crate) async fn usage(State(app): State<App>, params: Params) -> Answer<Json<Usage>> {
    params.only(&["window", "until", "step", "group_by"])?;
    let step = match params.text("step") {
        Some(_) => Some(params.window("step", USAGE_WINDOW)?),
        None => None,
    };
    let group_by = match params.text("group_by") {
        None => None,
        Some(text) => Some(dimension(text)?),
    };
    let asked = UsageAsked {
        window: params.window("window", USAGE_WINDOW)?,
        until: params.moment("until")?,
        step,
        group_by,
    };
    Ok(Json(app.cockpit.usage(asked).await?))
}

fn dimension(text: &str) -> Result<Dimension, Problem> {
    let known = Dimension::ALL.into_iter().find(|one| one.as_str() == text);
    known.ok_or_else(|| {
        let words: Vec<&str> = Dimension::ALL.iter().map(|one| one.as_str()).collect();
        bad("group_by", text, &format!("one of {}", words.join(", ")))
    })
}

/// What `/api/calls` answers.
#[derive(Debug, Serialize)]
pub(crate) struct Calls {
    calls: Vec<Call>,
}

pub(crate) async fn calls(State(app): State<App>, params: Params) -> Answer<Json<Calls>> {
    params.only(&[
        "window", "until", "limit", "provider", "model", "route", "key", "user", "agent", "error",
        "outcome",
    ])?;
    let text = |name| params.text(name).map(str::to_owned);
    let outcome = match params.text("outcome") {
        None => None,
        Some("ok") => Some(Outcome::Ok),
        Some("error") => Some(Outcome::Error),
        Some("cancelled") => Some(Outcome::Cancelled),
        Some(other) => return Err(bad("outcome", other, "ok, error or cancelled").into()),
    };
    let asked = CallsAsked {
        window: params.window("window", CALLS_WINDOW)?,
        until: params.moment("until")?,
        limit: params.count("limit", CALLS, 1..=MOST_CALLS)?,
        provider: text("provider"),
        model: text("model"),
        route: text("route"),
        user: text("user"),
        agent: text("agent"),
        key: text("key"),
        error: text("error"),
        outcome,
    };
    let calls = app.cockpit.calls(asked).await?;
    Ok(Json(Calls { calls }))
}

pub(crate) async fn gateway(State(app): State<App>) -> Json<GatewayView> {
    Json(app.cockpit.gateway())
}

/// The longest id that anything has.
const LONGEST_ID: usize = 256;

pub(crate) async fn call(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<Json<CallDetail>> {
    let Path(id) = path.map_err(|rejection| {
        Problem::new(Code::BadRequest, "the path cannot be read").detail(rejection.body_text())
    })?;
    if id.len() > LONGEST_ID {
        return Err(Problem::new(Code::NotFound, "no call has so long an id").into());
    }
    Ok(Json(app.cockpit.call(id).await?))
}

pub(crate) async fn breakers(State(app): State<App>) -> Json<Vec<BreakerView>> {
    Json(app.cockpit.breakers())
}

/// Whose breaker.
#[derive(Deserialize)]
pub(crate) struct TargetPath {
    provider: String,
    model: String,
}

pub(crate) async fn reset(
    State(app): State<App>,
    path: Result<Path<TargetPath>, PathRejection>,
) -> Answer<Json<Vec<BreakerView>>> {
    let Path(TargetPath { provider, model }) = path.map_err(|rejection| {
        Problem::new(Code::BadRequest, "the path cannot be read").detail(rejection.body_text())
    })?;
    app.cockpit.reset_breaker(&provider, &model)?;
    Ok(Json(app.cockpit.breakers()))
}

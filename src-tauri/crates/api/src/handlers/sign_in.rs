//! Signing a browser in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::extract::JsonBody;
use crate::refusal::Answer;
use crate::router::App;
use crate::sign_in::SignInCode;

/// The largest body [`exchange`] takes: anybody may send it one.
pub(crate) const MAX_EXCHANGE: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

pub(crate) async fn issue(
    State(app): State<App>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> (StatusCode, Json<SignInCode>) {
    (StatusCode::CREATED, Json(app.sign_in.issue()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exchange {
    code: String,
}

#[derive(Serialize)]
pub(crate) struct SignedIn {
    token: String,
}

pub(crate) async fn exchange(
    State(app): State<App>,
    JsonBody(Exchange { code }): JsonBody<Exchange>,
) -> Answer<Json<SignedIn>> {
    let token = app.sign_in.exchange(&code)?;
    Ok(Json(SignedIn { token }))
}

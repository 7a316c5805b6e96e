//! Keys of the gateway.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use cockpit_model::keys::{KeyView, KeyWish, NewKey, RemovedKey};
use cockpit_model::{Code, Problem};

use crate::extract::JsonBody;
use crate::refusal::Answer;
use crate::router::App;

pub(crate) async fn list(State(app): State<App>) -> Answer<Json<Vec<KeyView>>> {
    Ok(Json(app.cockpit.keys().await?))
}

/// The one answer that holds the key itself.
pub(crate) async fn add(
    State(app): State<App>,
    JsonBody(wish): JsonBody<KeyWish>,
) -> Answer<(StatusCode, Json<NewKey>)> {
    Ok((StatusCode::CREATED, Json(app.cockpit.add_key(wish).await?)))
}

pub(crate) async fn remove(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<Json<RemovedKey>> {
    let Path(name) = path.map_err(|rejection| {
        Problem::new(Code::BadRequest, "the path cannot be read").detail(rejection.body_text())
    })?;
    Ok(Json(app.cockpit.remove_key(name).await?))
}

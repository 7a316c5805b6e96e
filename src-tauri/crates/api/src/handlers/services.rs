//! Services and what can be done to them.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use cockpit_model::{Action, Code, Problem, Service};
use serde::Deserialize;

use crate::extract::{ServiceName, service_name};
use crate::refusal::Answer;
use crate::router::App;

/// The longest name of a model (`hf.co/…/…:tag`).
const MAX_MODEL: usize = 256;

pub(crate) async fn list(State(app): State<App>) -> Json<Vec<Service>> {
    Json(app.cockpit.services())
}

pub(crate) async fn one(
    State(app): State<App>,
    ServiceName(name): ServiceName,
) -> Answer<Json<Service>> {
    Ok(Json(app.cockpit.service(&name)?))
}

pub(crate) async fn start(app: State<App>, name: ServiceName) -> Answer<Json<Service>> {
    act(app, name, Action::Start).await
}

pub(crate) async fn stop(app: State<App>, name: ServiceName) -> Answer<Json<Service>> {
    act(app, name, Action::Stop).await
}

pub(crate) async fn restart(app: State<App>, name: ServiceName) -> Answer<Json<Service>> {
    act(app, name, Action::Restart).await
}

pub(crate) async fn take_over(app: State<App>, name: ServiceName) -> Answer<Json<Service>> {
    act(app, name, Action::TakeOver).await
}

async fn act(
    State(app): State<App>,
    ServiceName(name): ServiceName,
    action: Action,
) -> Answer<Json<Service>> {
    Ok(Json(app.cockpit.act(name, action).await?))
}

pub(crate) async fn stop_all(State(app): State<App>) -> Answer<Json<Vec<Service>>> {
    Ok(Json(app.cockpit.stop_all().await?))
}

#[derive(Deserialize)]
pub(crate) struct ModelPath {
    name: String,
    model: String,
}

pub(crate) async fn unload(
    State(app): State<App>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Answer<Json<Service>> {
    let Path(ModelPath { name, model }) =
        path.map_err(|rejection| unknown_model(&rejection.body_text()))?;
    let name = service_name(name)?;
    if model.is_empty() || model.len() > MAX_MODEL || model.chars().any(char::is_control) {
        return Err(
            unknown_model("the name is empty, too long, or holds control characters").into(),
        );
    }
    Ok(Json(app.cockpit.unload_model(name, model).await?))
}

fn unknown_model(detail: &str) -> Problem {
    Problem::new(Code::NotFound, "there is no model of that name").detail(detail)
}

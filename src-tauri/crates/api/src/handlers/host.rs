//! The machine.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use cockpit_model::host::HostView;

use crate::params::Params;
use crate::refusal::Answer;
use crate::router::App;

/// The window when none is given.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);
/// Points a series holds when no number is given.
const DEFAULT_POINTS: usize = 600;
/// The most points a series holds.
const MAX_POINTS: usize = 2000;

pub(crate) async fn host(State(app): State<App>, params: Params) -> Answer<Json<HostView>> {
    params.only(&["window", "points"])?;
    let window = params.window("window", DEFAULT_WINDOW)?;
    let points = params.count("points", DEFAULT_POINTS, 1..=MAX_POINTS)?;
    Ok(Json(app.cockpit.host(window, points).await?))
}

//! Charts for reports.

use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cockpit_model::{Code, Problem};

use crate::cockpit::{Chart, ChartFormat, ChartKind};
use crate::params::Params;
use crate::refusal::Answer;
use crate::router::App;

/// The window when none is given.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn chart(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    params: Params,
) -> Answer<Response> {
    let (kind, format) = path
        .ok()
        .and_then(|Path(file)| parse(&file))
        .ok_or_else(|| {
            let names = ChartKind::ALL.map(ChartKind::as_str).join(", ");
            Problem::new(Code::NotFound, "there is no such chart")
                .remedy(format!("there are {names}, each as .svg and as .png"))
        })?;
    params.only(&["window"])?;
    let window = params.window("window", DEFAULT_WINDOW)?;
    let drawn = app
        .cockpit
        .chart(Chart {
            kind,
            format,
            window,
        })
        .await?;
    let mime = match format {
        ChartFormat::Svg => "image/svg+xml",
        ChartFormat::Png => "image/png",
    };
    let mut response = Body::from(drawn).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
    Ok(response)
}

fn parse(file: &str) -> Option<(ChartKind, ChartFormat)> {
    let (kind, format) = file.split_once('.')?;
    let kind = ChartKind::ALL
        .into_iter()
        .find(|one| one.as_str() == kind)?;
    let format = match format {
        "svg" => ChartFormat::Svg,
        "png" => ChartFormat::Png,
        _ => return None,
    };
    Some((kind, format))
}

//! What the doubles that speak for models share: their flags, their log, what they were asked.

use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;

use crate::Paced;
use crate::faults::befall;
use crate::record::Record;
use crate::serving::{Board, bind, say, serve_on};

/// A line for each request.
async fn logged(request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let began = Instant::now();
    let response = next.run(request).await;
    say(&format!(
        "{line} {} {:.1} ms",
        response.status().as_u16(),
        began.elapsed().as_secs_f64() * 1000.0
    ));
    response
}

/// The routes with what may befall an answer in front of them, and the record of it all.
pub(crate) fn dressed(routes: Router, board: &Board) -> Router {
    let record = Record::default();
    let befallen = routes
        .layer(middleware::from_fn_with_state(board.clone(), befall))
        .layer(middleware::from_fn_with_state(
            record.clone(),
            crate::record::keep,
        ));
    record.routes().fallback_service(befallen)
}

/// Serves a vendor's double until it is told to end.
pub(crate) async fn serve(name: &str, paced: &Paced, routes: Router) -> anyhow::Result<()> {
    let board = Board::start(&paced.common);
    let mut routes = dressed(routes, &board);
    if !paced.quiet {
        routes = routes.layer(middleware::from_fn(logged));
    }
    board.ready().await;
    let listener = bind(name, paced.port).await?;
    say(&format!("{name}: listening on {}", listener.local_addr()?));
    serve_on(listener, name, routes, board).await
}

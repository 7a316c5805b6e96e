//! What every double shares: the listener, the guard that carries out faults, `/_fault`, the log,
//! the end by signal.

use std::future;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, sleep_until};

use crate::Common;
use crate::connection::Doors;
pub(crate) use crate::connection::Peer;
use crate::faults::{Effect, Faults, Order, Schedule};

/// Writes a line of the double's log. A closed pipe is nobody's concern.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The fault board, shared by the listener and the background work.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Mutex<Faults>>);

impl Board {
    /// A board with the faults of the flags, and the task that carries out crashes and leaks.
    pub(crate) fn start(common: &Common) -> Self {
        let schedule = Schedule {
            ready_after: common.ready_after,
            hang_after: common.hang_after,
            crash_after: common.crash_after,
        };
        let board = Self(Arc::new(Mutex::new(Faults::new(schedule, Instant::now()))));
        tokio::spawn(crash_and_leak(board.clone()));
        board
    }

    fn with<T>(&self, f: impl FnOnce(&mut Faults) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits as the faults in force demand, then tells whether to answer, or with what failure.
    pub(crate) async fn pass(&self) -> Result<(), StatusCode> {
        loop {
            match self.with(|faults| faults.effect(Instant::now())) {
                Effect::Pass => return Ok(()),
                Effect::Fail => return Err(StatusCode::INTERNAL_SERVER_ERROR),
                Effect::NotReady => return Err(StatusCode::SERVICE_UNAVAILABLE),
                Effect::Delay(time) => {
                    sleep(time).await;
                    return Ok(());
                }
                Effect::Hang(Some(until)) => sleep_until(until.into()).await,
                Effect::Hang(None) => future::pending().await,
            }
        }
    }

    /// Whether any fault of single answers is in force.
    pub(crate) fn has_answers(&self) -> bool {
        self.with(|faults| faults.has_answers())
    }

    /// The fault that befalls this model's answer now.
    pub(crate) fn answer(&self, model: &str) -> Option<Order> {
        self.with(|faults| faults.answer(model, Instant::now()))
    }

    /// Waits until the double's start is over.
    pub(crate) async fn ready(&self) {
        while !self.with(|faults| faults.is_ready(Instant::now())) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Looks a few times a second whether a crash is due, and holds what a leak holds.
async fn crash_and_leak(board: Board) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    const BLOCK: usize = 4 << 20;
    loop {
        let (crash, leaked) = board.with(|faults| {
            let now = Instant::now();
            (faults.is_crash_due(now), faults.leaked_bytes(now))
        });
        if crash {
            die();
        }
        let blocks = usize::try_from(leaked / BLOCK as u64).unwrap_or(usize::MAX);
        if blocks < held.len() {
            say("leaked memory given back");
            held.truncate(blocks);
        }
        while held.len() < blocks {
            // Written, so that it is resident and not only promised.
            held.push(vec![1; BLOCK]);
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn die() -> ! {
    let _ = writeln!(
        io::stderr(),
        "fatal: out of luck (a crash was ordered from the fault board)"
    );
    process::exit(1)
}

/// Serves the routes on loopback with the fault board in front, until SIGTERM or SIGINT.
pub(crate) async fn serve(
    name: &str,
    port: u16,
    routes: Router,
    board: Board,
) -> anyhow::Result<()> {
    serve_on(bind(name, port).await?, name, routes, board).await
}

/// A listener on loopback; port 0 takes a free one.
pub(crate) async fn bind(name: &str, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("{name} could not listen on 127.0.0.1:{port}"))
}

/// The same on a listener that is already there.
pub(crate) async fn serve_on(
    listener: TcpListener,
    name: &str,
    routes: Router,
    board: Board,
) -> anyhow::Result<()> {
    // Behind the board, not merged with it: a merge would lose the layers of the routes' fallback,
    // and with them the log of what does not exist.
    let guarded = routes.layer(middleware::from_fn_with_state(board.clone(), guard));
    let app = fault_routes(board)
        .fallback_service(guarded)
        .into_make_service_with_connect_info::<Peer>();
    tokio::select! {
        served = axum::serve(Doors(listener), app) => served.with_context(|| format!("{name} stopped listening")),
        () = told_to_end() => {
            say("shutting down");
            Ok(())
        }
    }
}

/// Resolves on SIGTERM or SIGINT.
pub(crate) async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

async fn guard(State(board): State<Board>, request: Request, next: Next) -> Response {
    match board.pass().await {
        Ok(()) => next.run(request).await,
        Err(StatusCode::SERVICE_UNAVAILABLE) => {
            failure(StatusCode::SERVICE_UNAVAILABLE, "not ready yet")
        }
        Err(status) => {
            say(&format!(
                "error: {} {} failed with {}",
                request.method(),
                request.uri().path(),
                status.as_u16()
            ));
            failure(status, "an error was ordered from the fault board")
        }
    }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// `/_fault`: POST orders one, DELETE takes them back, GET shows them. Faults do not touch it.
pub(crate) fn fault_routes(board: Board) -> Router {
    Router::new()
        .route("/_fault", post(inject).get(in_force).delete(clear))
        .with_state(board)
}

async fn inject(State(board): State<Board>, Json(order): Json<Order>) -> impl IntoResponse {
    say(&format!("fault ordered: {:?}", order.kind));
    board.with(|faults| faults.inject(order.clone(), Instant::now()));
    (StatusCode::ACCEPTED, Json(order))
}

async fn in_force(State(board): State<Board>) -> Json<Vec<Order>> {
    Json(board.with(|faults| faults.in_force(Instant::now())))
}

async fn clear(State(board): State<Board>) -> StatusCode {
    board.with(Faults::clear);
    StatusCode::NO_CONTENT
}

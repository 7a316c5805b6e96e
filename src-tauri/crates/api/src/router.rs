//! The table of routes and the Router made of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use cockpit_model::{Code, Problem};

use crate::cockpit::Cockpit;
use crate::gate::{self, MAX_BODY};
use crate::handlers::{charts, engine, events, host, keys, logs, services, sign_in, traffic};
use crate::refusal::Refusal;
use crate::sign_in::SignIn;
use crate::ui::Ui;

/// Where a one-time code is exchanged for the token: the one thing that is asked for without it.
pub(crate) const EXCHANGE: &str = "/api/sign-in";

/// Where events are reported, many at once.
pub(crate) const EVENTS: &str = "/api/events";

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) cockpit: Arc<dyn Cockpit>,
    pub(crate) ui: Ui,
    pub(crate) sign_in: Arc<SignIn>,
}

/// One method on one path.
pub(crate) struct Route {
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "the handler knows it; the tests compare it with the document"
        )
    )]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    handler: MethodRouter<App>,
}

/// Everything the API answers; `/openapi.json` describes exactly these.
pub(crate) fn table() -> Vec<Route> {
    let read = |path, handler| Route {
        method: Method::GET,
        path,
        handler,
    };
    let act = |path, handler| Route {
        method: Method::POST,
        path,
        handler,
    };
    vec![
        read("/healthz", get(engine::healthz)),
        read("/readyz", get(engine::readyz)),
        read("/metrics", get(engine::metrics)),
        read("/openapi.json", get(engine::openapi)),
        read("/api/status", get(engine::status)),
        read("/api/services", get(services::list)),
        read("/api/services/{name}", get(services::one)),
        act("/api/services/{name}/start", post(services::start)),
        act("/api/services/{name}/stop", post(services::stop)),
        act("/api/services/{name}/restart", post(services::restart)),
        act("/api/services/{name}/take_over", post(services::take_over)),
        read("/api/services/{name}/logs", get(logs::logs)),
        act(
            "/api/services/{name}/models/{model}/unload",
            post(services::unload),
        ),
        act("/api/stop-all", post(services::stop_all)),
        read("/api/host", get(host::host)),
        read("/api/events", get(events::list)),
        act(
            EVENTS,
            post(events::report).layer(DefaultBodyLimit::max(gate::MAX_EVENTS)),
        ),
        read("/api/events/stream", get(events::stream)),
        read("/api/usage", get(traffic::usage)),
        read("/api/calls", get(traffic::calls)),
        read("/api/calls/{id}", get(traffic::call)),
        read("/api/gateway", get(traffic::gateway)),
        read("/api/breakers", get(traffic::breakers)),
        act(
            "/api/breakers/{provider}/{model}/reset",
            post(traffic::reset),
        ),
        read("/api/keys", get(keys::list)),
        act("/api/keys", post(keys::add)),
        Route {
            method: Method::DELETE,
            path: "/api/keys/{name}",
            handler: delete(keys::remove),
        },
        read("/api/detect", get(engine::detect)),
        read("/api/login", get(engine::login)),
        act("/api/login", post(engine::set_login)),
        act("/api/engine/stop", post(engine::stop)),
        read("/charts/{chart}", get(charts::chart)),
        act("/api/sign-in/codes", post(sign_in::issue)),
        act(
            EXCHANGE,
            post(sign_in::exchange).layer(DefaultBodyLimit::max(sign_in::MAX_EXCHANGE)),
        ),
    ]
}

/// The Router over a cockpit, the UI's files and the way to the token. Serve it with [`crate::serve_tcp`] and
/// [`crate::serve_unix`]: without a door it answers 401 to everything private.
pub fn router(cockpit: Arc<dyn Cockpit>, ui: Ui, sign_in: SignIn) -> Router {
    let app = App {
        cockpit,
        ui,
        sign_in: Arc::new(sign_in),
    };
    table()
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handler)
        })
        .fallback(other)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), gate::gate))
        .with_state(app)
}

/// The UI's files, else there is no such path.
async fn other(
    State(app): State<App>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if let Some(file) = app.ui.serve(uri.path(), &headers) {
        return if matches!(method, Method::GET | Method::HEAD) {
            Ok(file)
        } else {
            Ok(method_not_allowed(method, uri).await.into_response())
        };
    }
    let mut problem = Problem::new(Code::NotFound, "there is nothing at this path")
        .detail(uri.path().chars().take(200).collect::<String>());
    problem = if uri.path() == "/" {
        problem.remedy("this build holds no UI; `/openapi.json` describes the API")
    } else {
        problem.remedy("`/openapi.json` lists what there is")
    };
    Err(problem.into())
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        Code::MethodNotAllowed,
        "this path does not take this method",
    )
    .detail(format!("{method} {path}"))
    .remedy("`/openapi.json` lists what there is")
    .into()
}

//! The Router from outside, over a small cockpit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod document;
mod doors;
mod exposition;
mod refusals;
mod routes;
mod sample;
mod sign_in;
mod streams;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use cockpit_model::host::HostView;
use cockpit_model::kept::{CallDetail, Exchange};
use cockpit_model::keys::{KeyView, KeyWish, NewKey, RemovedKey};
use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::usage::Usage;
use cockpit_model::{
    Action, BreakerView, Call, Code, Event, GatewayView, Ingested, Problem, Rejected, Service,
    Status,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use crate::door::Door;
use crate::{
    CallsAsked, Chart, ChartFormat, Cockpit, Counted, Live, LoginItem, Plan, SignIn, Ui,
    UsageAsked, router,
};

pub(crate) const TOKEN: &str = "s3cret-t0ken";

/// A cockpit with two services that does what it is told at once, and notes what it was asked.
pub(crate) struct Fake {
    services: Mutex<Vec<Service>>,
    /// What was asked, in words.
    pub(crate) asked: Mutex<Vec<String>>,
    login: Mutex<bool>,
    pub(crate) ready: Mutex<bool>,
    events: Mutex<Option<mpsc::Receiver<Event>>>,
    lines: Mutex<Option<mpsc::Receiver<LogLine>>>,
    /// Fails every action with this, once set.
    pub(crate) fails: Mutex<Option<Problem>>,
}

/// What a test sends into the live streams.
pub(crate) struct Feed {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) lines: mpsc::Sender<LogLine>,
}

pub(crate) fn fake() -> (Arc<Fake>, Feed) {
    let (event_in, events) = mpsc::channel(8);
    let (line_in, lines) = mpsc::channel(8);
    let fake = Fake {
        services: Mutex::new(vec![sample::service("api"), sample::service("ollama")]),
        asked: Mutex::default(),
        login: Mutex::default(),
        ready: Mutex::new(true),
        events: Mutex::new(Some(events)),
        lines: Mutex::new(Some(lines)),
        fails: Mutex::default(),
    };
    let feed = Feed {
        events: event_in,
        lines: line_in,
    };
    (Arc::new(fake), feed)
}

impl Fake {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn find(&self, name: &str) -> Result<Service, Problem> {
        let services = self.services.lock().unwrap();
        services
            .iter()
            .find(|s| s.name == name)
            .cloned()
            .ok_or_else(|| {
                Problem::new(
                    Code::UnknownService,
                    format!("there is no service `{name}`"),
                )
            })
    }

    fn done<T: Send + 'static>(
        &self,
        answer: Result<T, Problem>,
    ) -> BoxFuture<'static, Result<T, Problem>> {
        let answer = match self.fails.lock().unwrap().clone() {
            Some(problem) => Err(problem),
            None => answer,
        };
        std::future::ready(answer).boxed()
    }
}

impl Cockpit for Fake {
    fn ready(&self) -> bool {
        *self.ready.lock().unwrap()
    }

    fn status(&self) -> Status {
        sample::status()
    }

    fn services(&self) -> Vec<Service> {
        self.services.lock().unwrap().clone()
    }

    fn service(&self, name: &str) -> Result<Service, Problem> {
        self.note(format!("service {name}"));
        self.find(name)
    }

    fn act(&self, name: String, action: Action) -> BoxFuture<'static, Result<Service, Problem>> {
        self.note(format!("{} {name}", action.as_str()));
        self.done(self.find(&name))
    }

    fn stop_all(&self) -> BoxFuture<'static, Result<Vec<Service>, Problem>> {
        self.note("stop all".into());
        self.done(Ok(self.services()))
    }

    fn logs(
        &self,
        name: String,
        query: LogQuery,
    ) -> BoxFuture<'static, Result<Vec<LogLine>, Problem>> {
        self.note(format!("logs {name} {query:?}"));
        let lines = vec![sample::line("one"), sample::line("two \"quoted\"\u{1b}[0m")];
        self.done(self.find(&name).map(|_| lines))
    }

    fn follow(
        &self,
        name: String,
        query: LogQuery,
    ) -> BoxFuture<'static, Result<Live<LogLine>, Problem>> {
        self.note(format!("follow {name} {query:?}"));
        let lines = self.find(&name).map(|_| {
            let lines = self.lines.lock().unwrap().take().expect("followed once");
            tokio_stream::wrappers::ReceiverStream::new(lines).boxed()
        });
        self.done(lines)
    }

    fn host(
        &self,
        window: Duration,
        points: usize,
    ) -> BoxFuture<'static, Result<HostView, Problem>> {
        self.note(format!("host {window:?} {points}"));
        self.done(Ok(sample::host()))
    }

    fn events(
        &self,
        limit: usize,
        service: Option<String>,
    ) -> BoxFuture<'static, Result<Vec<Event>, Problem>> {
        self.note(format!("events {limit} {service:?}"));
        self.done(Ok(sample::events()))
    }

    fn subscribe(&self, after: Option<u64>) -> Live<Event> {
        self.note(format!("subscribe {after:?}"));
        let events = self.events.lock().unwrap().take().expect("subscribed once");
        tokio_stream::wrappers::ReceiverStream::new(events).boxed()
    }

    fn ingest(&self, body: Bytes, gzip: bool) -> BoxFuture<'static, Result<Ingested, Problem>> {
        self.note(format!("ingest {} gzip {gzip}", body.len()));
        self.done(Ok(Ingested {
            accepted: 1,
            duplicates: 0,
            rejected: vec![Rejected {
                index: 1,
                reason: "type is missing: write one".into(),
            }],
        }))
    }

    fn unload_model(
        &self,
        service: String,
        model: String,
    ) -> BoxFuture<'static, Result<Service, Problem>> {
        self.note(format!("unload {model} of {service}"));
        self.done(self.find(&service))
    }

    fn usage(&self, asked: UsageAsked) -> BoxFuture<'static, Result<Usage, Problem>> {
        self.note(format!("usage {asked:?}"));
        self.done(Ok(sample::usage()))
    }

    fn calls(&self, asked: CallsAsked) -> BoxFuture<'static, Result<Vec<Call>, Problem>> {
        self.note(format!("calls {asked:?}"));
        self.done(Ok(vec![sample::call()]))
    }

    fn call(&self, id: String) -> BoxFuture<'static, Result<CallDetail, Problem>> {
        self.note(format!("call {id}"));
        if id == "nobodys" {
            return self.done(Err(Problem::new(Code::NotFound, "there is no such call")));
        }
        self.done(Ok(CallDetail {
            call: sample::call(),
            kept: Some(Exchange {
                prompt: "{}".to_owned(),
                prompt_cut: false,
                answer: "Hello".to_owned(),
                answer_cut: true,
            }),
        }))
    }

    fn breakers(&self) -> Vec<BreakerView> {
        vec![sample::breaker()]
    }

    fn gateway(&self) -> GatewayView {
        sample::gateway()
    }

    fn reset_breaker(&self, provider: &str, model: &str) -> Result<(), Problem> {
        self.note(format!("reset {provider} {model}"));
        if provider == "nobody" {
            return Err(Problem::new(Code::NotFound, "there is no such breaker"));
        }
        Ok(())
    }

    fn counted(&self) -> Counted {
        sample::counted()
    }

    fn keys(&self) -> BoxFuture<'static, Result<Vec<KeyView>, Problem>> {
        self.done(Ok(vec![sample::key()]))
    }

    fn add_key(&self, wish: KeyWish) -> BoxFuture<'static, Result<NewKey, Problem>> {
        self.note(format!("add key {} {:?}", wish.name, wish.limits));
        self.done(Ok(NewKey {
            secret: "cockpit_secret".into(),
            key: sample::key(),
            note: Some("know this".into()),
        }))
    }

    fn remove_key(&self, name: String) -> BoxFuture<'static, Result<RemovedKey, Problem>> {
        self.note(format!("remove key {name}"));
        self.done(Ok(RemovedKey {
            removed: name,
            note: None,
        }))
    }

    fn chart(&self, chart: Chart) -> BoxFuture<'static, Result<Vec<u8>, Problem>> {
        self.note(format!("chart {chart:?}"));
        self.done(Ok(match chart.format {
            ChartFormat::Svg => b"<svg/>".to_vec(),
            ChartFormat::Png => b"\x89PNG".to_vec(),
        }))
    }

    fn detect(&self) -> BoxFuture<'static, Result<Plan, Problem>> {
        self.note("detect".into());
        self.done(Ok(sample::plan()))
    }

    fn shutdown(&self, stop_services: bool) -> BoxFuture<'static, Result<(), Problem>> {
        self.note(format!("shutdown {stop_services}"));
        self.done(Ok(()))
    }

    fn login_item(&self) -> BoxFuture<'static, Result<LoginItem, Problem>> {
        let on = *self.login.lock().unwrap();
        self.done(Ok(LoginItem {
            on,
            path: Some("/l.plist".into()),
            note: None,
        }))
    }

    fn set_login_item(&self, on: bool) -> BoxFuture<'static, Result<LoginItem, Problem>> {
        self.note(format!("login {on}"));
        *self.login.lock().unwrap() = on;
        self.login_item()
    }
}

/// The UI of two files.
pub(crate) fn ui() -> Ui {
    Ui::new(|path| match path {
        "index.html" => Some((
            Cow::Borrowed(b"<!doctype html>"),
            "text/html; charset=utf-8",
        )),
        "assets/app-1a2b.js" => Some((Cow::Borrowed(b"let x;"), "text/javascript")),
        _ => None,
    })
}

/// An answer, whole.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code, after checking that the problem is a complete one.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(!problem["title"].as_str().unwrap().is_empty());
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A Router over the fake, entered by a door that has or has not seen the token.
pub(crate) struct Entry {
    router: Router,
    authorized: bool,
    close: watch::Sender<bool>,
}

impl Entry {
    pub(crate) fn new(fake: Arc<Fake>) -> Self {
        Self {
            router: router(fake, ui(), SignIn::new(TOKEN)),
            authorized: true,
            close: watch::Sender::new(false),
        }
    }

    pub(crate) fn without_token(mut self) -> Self {
        self.authorized = false;
        self
    }

    pub(crate) fn close(&self) {
        self.close.send_replace(true);
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> axum::response::Response {
        request.extensions_mut().insert(Door {
            authorized: self.authorized,
            closing: self.close.subscribe(),
        });
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Got {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        Got {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.ask(request("GET", path, "")).await
    }

    pub(crate) async fn post(&self, path: &str, json: &str) -> Got {
        self.ask(request("POST", path, json)).await
    }
}

pub(crate) fn request(method: &str, path: &str, json: &str) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if !json.is_empty() {
        builder = builder.header("content-type", "application/json");
    }
    builder.body(Body::from(json.to_owned())).unwrap()
}

//! A gateway between real connections: the protocol doubles upstream, a plain client before it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use cockpit_gateway::{
    Calls, Events, Findings, Gateway, KeyHash, KeyUse, Parts, Prompts, Secrets, Standing, Who,
};
use cockpit_model::traffic::*;
use cockpit_model::{Call, EventBody, Report, Usd};
use cockpit_resilience::budget::Each;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long anything may take on a slow machine before the test is given up.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Rig {
    pub gateway: Gateway,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    pub events: Arc<Told>,
    pub shelf: Arc<Shelf>,
    calls: tokio::sync::Mutex<mpsc::UnboundedReceiver<Call>>,
    findings: tokio::sync::Mutex<mpsc::UnboundedReceiver<Report>>,
    down: Arc<Down>,
}

/// A double of a vendor, as a task of this process.
pub async fn double(kind: &str, more: &[&str]) -> SocketAddr {
    let port = Listener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let port_text = port.to_string();
    let mut line = vec!["simulate", kind, "--port", &port_text, "--quiet"];
    line.extend(more);
    if !more.contains(&"--tokens-per-second") {
        line.extend(["--tokens-per-second", "0"]);
    }
    let args = cockpit_simulator::Args::try_parse_from(line).unwrap();
    tokio::spawn(async move {
        cockpit_simulator::run(args).await.unwrap();
    });
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    address
}

pub fn provider(name: &str, kind: ProviderKind, base_url: String) -> ProviderSpec {
    ProviderSpec {
        name: name.to_owned(),
        kind,
        base_url,
        api_key: None,
        timeout: PATIENCE,
        first_byte_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        service: None,
        behind_gateway: false,
        queue: None,
        prices: BTreeMap::new(),
    }
}

pub fn route(name: &str, targets: &[&str]) -> RouteSpec {
    RouteSpec {
        name: name.to_owned(),
        targets: targets
            .iter()
            .map(|target| {
                let (provider, model) = target.split_once('/').unwrap();
                Target {
                    provider: provider.to_owned(),
                    model: model.to_owned(),
                }
            })
            .collect(),
        rules: Rules::default(),
    }
}

pub fn spec(providers: Vec<ProviderSpec>, routes: Vec<RouteSpec>) -> TrafficSpec {
    TrafficSpec {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        allowed_hosts: vec!["studio.ts.net".to_owned()],
        rules: Rules::default(),
        providers,
        keys: Vec::new(),
        routes,
        limits: CommonLimits::default(),
        budget: Budget::default(),
        fronts: Vec::new(),
    }
}

/// One of each vendor.
pub struct Doubles {
    pub openai: SocketAddr,
    pub anthropic: SocketAddr,
    pub ollama: SocketAddr,
}

impl Doubles {
    pub async fn start() -> Self {
        Self {
            openai: double("openai", &[]).await,
            anthropic: double("anthropic", &[]).await,
            ollama: double("ollama", &[]).await,
        }
    }

    pub fn providers(&self) -> Vec<ProviderSpec> {
        vec![
            provider(
                "openai",
                ProviderKind::OpenAi,
                format!("http://{}/v1", self.openai),
            ),
            provider(
                "anthropic",
                ProviderKind::Anthropic,
                format!("http://{}", self.anthropic),
            ),
            provider(
                "ollama",
                ProviderKind::Ollama,
                format!("http://{}", self.ollama),
            ),
        ]
    }
}

/// What a gateway is given of the time before.
#[derive(Default)]
pub struct Given {
    pub spent: Vec<(Who, Each<Usd>)>,
    pub key_uses: Vec<KeyUse>,
    pub keys: Vec<(KeySpec, KeyHash)>,
}

impl Rig {
    pub async fn new(spec: TrafficSpec) -> Self {
        Self::with(spec, Given::default()).await
    }

    pub async fn with(spec: TrafficSpec, given: Given) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let (finder, findings) = mpsc::unbounded_channel();
        let events = Arc::new(Told::default());
        let down = Arc::new(Down::default());
        let shelf = Arc::new(Shelf::default());
        let parts = Parts {
            calls: Arc::new(Written(sender)),
            prompts: Arc::clone(&shelf) as Arc<dyn Prompts>,
            findings: Arc::new(Found(finder)),
            standing: Arc::clone(&down) as Arc<dyn Standing>,
            secrets: Arc::new(Kept),
            prices: cockpit_metering::price::PriceBook::default(),
            events: Arc::clone(&events) as Arc<dyn Events>,
            spent: given.spent,
            key_uses: given.key_uses,
            keys: given.keys,
        };
        let gateway = Gateway::new(spec, parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = gateway.clone();
        tokio::spawn(async move {
            tokio::join!(
                serving.serve_at(listener, None, std::future::pending()),
                serving.tend(std::future::pending()),
            )
        });
        Self {
            gateway,
            address,
            client: client(),
            events,
            shelf,
            calls: tokio::sync::Mutex::new(calls),
            findings: tokio::sync::Mutex::new(findings),
            down,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.post_with(path, body, &[]).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::Response {
        let mut request = self.client.post(self.url(path)).body(body.to_string());
        if !headers
            .iter()
            .any(|(name, _)| ["authorization", "x-api-key"].contains(name))
        {
            // Vendors want one, whichever.
            request = request.bearer_auth("sk-callers-own");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("the gateway answers")
    }

    /// The next call that was written down.
    pub async fn call(&self) -> Call {
        let mut calls = self.calls.lock().await;
        tokio::time::timeout(PATIENCE, calls.recv())
            .await
            .expect("a call is written down")
            .expect("the gateway is there")
    }

    /// The next report of findings.
    pub async fn finding(&self) -> Report {
        let mut findings = self.findings.lock().await;
        tokio::time::timeout(PATIENCE, findings.recv())
            .await
            .expect("a finding is reported")
            .expect("the gateway is there")
    }

    /// A call that is written down already.
    pub async fn written(&self) -> Option<Call> {
        self.calls.lock().await.try_recv().ok()
    }

    /// That nothing more was written down.
    pub async fn no_call(&self) {
        assert!(
            self.calls.lock().await.try_recv().is_err(),
            "one call too many"
        );
    }

    pub fn set_port(&self, service: &str, port: u16) {
        self.down.1.lock().unwrap().insert(service.to_owned(), port);
    }

    pub fn set_down(&self, service: &str, why: Option<&str>) {
        let mut down = self.down.0.lock().unwrap();
        match why {
            Some(why) => down.insert(service.to_owned(), why.to_owned()),
            None => down.remove(service),
        };
    }
}

/// A client that knows no TLS: everything is on loopback.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}

struct Written(mpsc::UnboundedSender<Call>);

impl Calls for Written {
    fn record(&self, call: Call) {
        let _ = self.0.send(call);
    }
}

struct Found(mpsc::UnboundedSender<Report>);

impl Findings for Found {
    fn report(&self, report: Report) {
        let _ = self.0.send(report);
    }
}

#[derive(Default)]
struct Down(
    Mutex<BTreeMap<String, String>>,
    Mutex<BTreeMap<String, u16>>,
);

impl Standing for Down {
    fn down(&self, service: &str) -> Option<String> {
        self.0.lock().unwrap().get(service).cloned()
    }

    fn port(&self, service: &str) -> Option<u16> {
        self.1.lock().unwrap().get(service).copied()
    }
}

/// Keeps a secret for every environment variable but `MISSING`.
struct Kept;

impl Secrets for Kept {
    fn read<'a>(&'a self, place: &'a SecretPlace) -> BoxFuture<'a, Result<String, String>> {
        async move {
            match place {
                SecretPlace::Env(name) if name == "MISSING" => Err(format!("{place} is not set")),
                SecretPlace::Env(name) => Ok(format!("secret of {name}")),
                _ => Err(format!("{place} is not there")),
            }
        }
        .boxed()
    }
}

/// Where prompts are kept.
#[derive(Default)]
pub struct Shelf {
    rules: Mutex<BTreeMap<String, Duration>>,
    pub kept: Mutex<Vec<cockpit_gateway::Kept>>,
}

impl Prompts for Shelf {
    fn obey(&self, rules: BTreeMap<String, Duration>) {
        *self.rules.lock().unwrap() = rules;
    }

    fn keep(&self, kept: cockpit_gateway::Kept) {
        self.kept.lock().unwrap().push(kept);
    }
}

impl Shelf {
    pub fn rules(&self) -> Vec<(String, Duration)> {
        self.rules.lock().unwrap().clone().into_iter().collect()
    }
}

#[derive(Default)]
pub struct Told(pub Mutex<Vec<EventBody>>);

impl Events for Told {
    fn publish(&self, body: EventBody) {
        self.0.lock().unwrap().push(body);
    }
}

impl Told {
    pub fn kinds(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().map(EventBody::kind).collect()
    }
}

pub fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "What is a mole?"}]})
}

pub fn streamed(mut request: Value) -> Value {
    request["stream"] = json!(true);
    request
}

pub fn header<'a>(response: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

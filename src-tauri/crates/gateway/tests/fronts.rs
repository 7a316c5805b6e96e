//! The address of an Ollama that runs behind the gateway: whoever asks there notices nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::net::SocketAddr;

use cockpit_model::Outcome;
use cockpit_model::traffic::*;
use common::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A gateway with two doors: its own, and that of an Ollama behind it.
struct TwoDoors {
    rig: Rig,
    ollama: SocketAddr,
    front: SocketAddr,
}

impl TwoDoors {
    async fn open(change: impl FnOnce(&mut TrafficSpec)) -> Self {
        let doubles = Doubles::start().await;
        let mut providers = doubles.providers();
        let local = providers.last_mut().unwrap();
        // As the configuration gives it: an address that is not its own any more.
        local.base_url = "http://127.0.0.1:1".to_owned();
        local.service = Some("ollama".to_owned());
        local.behind_gateway = true;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = listener.local_addr().unwrap();
        // A route of the name of a model, and another provider's prefix: neither means anything at that door.
        let mut spec = spec(providers, vec![route("llama3.2", &["openai/gpt-4o"])]);
        spec.fronts = vec![FrontSpec {
            service: "ollama".to_owned(),
            provider: "ollama".to_owned(),
            listen: front,
            origins: vec!["https://notes.example".to_owned()],
        }];
        change(&mut spec);
        let rig = Rig::new(spec).await;
        rig.set_port("ollama", doubles.ollama.port());
        let gateway = rig.gateway.clone();
        tokio::spawn(async move {
            gateway
                .serve_at(listener, Some("ollama"), std::future::pending())
                .await;
        });
        Self {
            rig,
            ollama: doubles.ollama,
            front,
        }
    }

    async fn get(&self, at: SocketAddr, path: &str) -> (u16, String) {
        let url = format!("http://{at}{path}");
        let answer = self.rig.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> reqwest::Response {
        let url = format!("http://{}{path}", self.front);
        let mut request = self.rig.client.post(url).body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn everything_there_is_that_ollamas_and_its_models_are_metered() {
    let doors = TwoDoors::open(|_| {}).await;
    // What is no request to a model is what Ollama says, to the letter.
    for path in [
        "/",
        "/api/version",
        "/api/tags",
        "/v1/models",
        "/api/nothing",
    ] {
        assert_eq!(
            doors.get(doors.front, path).await,
            doors.get(doors.ollama, path).await,
            "{path}"
        );
    }
    let head = doors
        .rig
        .client
        .head(format!("http://{}/", doors.front))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    let show = json!({"model": "llama3.2"});
    let shown = doors.post("/api/show", &show, &[]).await;
    assert_eq!(shown.status(), 200);
    doors.rig.no_call().await;

    // The route of that name is asked at the gateway's own address only.
    let mut request = chat("llama3.2");
    request["stream"] = json!(false);
    let answer = doors.post("/api/chat", &request, &[]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-cockpit-target"), Some("ollama/llama3.2"));
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let call = doors.rig.call().await;
    assert_eq!(
        (call.provider.as_str(), call.route, call.outcome),
        ("ollama", None, Outcome::Ok)
    );
    assert_eq!(call.output_tokens, said["eval_count"].as_u64());
    let own = doors
        .rig
        .post("/v1/chat/completions", &chat("llama3.2"))
        .await;
    assert_eq!(header(&own, "x-cockpit-target"), Some("openai/gpt-4o"));
    doors.rig.call().await;

    // OpenAI's and Anthropic's protocols as Ollama speaks them, and a name with another provider's before it.
    let answer = doors
        .post("/v1/chat/completions", &chat("llama3.2"), &[])
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(doors.rig.call().await.target, "ollama/llama3.2");
    let answer = doors
        .post("/v1/chat/completions", &chat("openai/gpt-4o"), &[])
        .await;
    assert_eq!(answer.status(), 404, "no such model on that Ollama");
    assert_eq!(doors.rig.call().await.target, "ollama/openai/gpt-4o");
}

#[tokio::test]
async fn who_was_let_in_by_ollama_is_let_in_and_a_tunnel_is_not() {
    let key = |spec: &mut TrafficSpec| {
        spec.keys = vec![KeySpec {
            name: "app".to_owned(),
            secret: Some(SecretPlace::Env("APP".to_owned())),
            limits: Limits::default(),
        }];
    };
    let doors = TwoDoors::open(key).await;
    let request = chat("llama3.2");
    let asked = async |headers: &[(&str, &str)]| {
        let answer = doors.post("/v1/chat/completions", &request, headers).await;
        answer.status().as_u16()
    };
    // Keys are for the gateway's own address; one that is sent all the same is known.
    assert_eq!(asked(&[]).await, 200);
    assert_eq!(doors.rig.call().await.key, None);
    assert_eq!(
        asked(&[("authorization", "Bearer secret of APP")]).await,
        200
    );
    assert_eq!(doors.rig.call().await.key.as_deref(), Some("app"));
    assert_eq!(asked(&[("authorization", "Bearer ollama")]).await, 200);
    let own = doors.rig.post("/v1/chat/completions", &request).await;
    assert_eq!(own.status(), 401);

    for host in [
        "host.docker.internal:11434",
        "studio.local",
        "0.0.0.0:11434",
    ] {
        assert_eq!(asked(&[("host", host)]).await, 200, "{host}");
    }
    for origin in [
        "http://localhost:5173",
        "app://obsidian.md",
        "http://0.0.0.0:3000",
        "https://notes.example",
    ] {
        assert_eq!(asked(&[("origin", origin)]).await, 200, "{origin}");
    }
    assert_eq!(asked(&[("origin", "https://evil.example")]).await, 403);
    assert_eq!(asked(&[("host", "evil.example")]).await, 403);
    let forwarded = [
        ("host", "host.docker.internal"),
        ("cf-connecting-ip", "1.2.3.4"),
    ];
    assert_eq!(asked(&forwarded).await, 403);
    let tunnel = ("host", "studio.ts.net");
    assert_eq!(asked(&[tunnel]).await, 401);
    let known = [tunnel, ("authorization", "Bearer secret of APP")];
    assert_eq!(asked(&known).await, 200);

    let preflight = doors
        .rig
        .client
        .request(
            reqwest::Method::OPTIONS,
            format!("http://{}/api/chat", doors.front),
        )
        .header("origin", "https://notes.example")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(
        header(&preflight, "access-control-allow-origin"),
        Some("https://notes.example")
    );
}

#[tokio::test]
async fn a_key_for_certain_models_moves_no_others() {
    let key = |spec: &mut TrafficSpec| {
        spec.keys = vec![KeySpec {
            name: "app".to_owned(),
            secret: Some(SecretPlace::Env("APP".to_owned())),
            limits: Limits {
                models: Some(vec!["ollama/llama3.2".to_owned()]),
                ..Limits::default()
            },
        }];
    };
    let doors = TwoDoors::open(key).await;
    let known = [("authorization", "Bearer secret of APP")];
    let pulled = json!({"model": "qwen3", "stream": false});
    let answer = doors.post("/api/pull", &pulled, &known).await;
    assert_eq!(answer.status(), 403);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], "policy_model");
    let url = format!("http://{}/api/tags", doors.front);
    let tags = doors.rig.client.get(url).header(known[0].0, known[0].1);
    assert_eq!(tags.send().await.unwrap().status(), 200);
    // Without a key it is as with Ollama itself.
    assert_eq!(doors.post("/api/pull", &pulled, &[]).await.status(), 200);
}

#[tokio::test]
async fn a_service_that_is_down_is_named_and_one_that_moved_is_found() {
    let doors = TwoDoors::open(|_| {}).await;
    doors.rig.set_down("ollama", Some("stopped by hand"));
    let (status, text) = doors.get(doors.front, "/api/tags").await;
    assert_eq!(status, 503);
    assert!(text.contains("stopped by hand"), "{text}");
    doors.rig.set_down("ollama", None);
    let other = double("ollama", &[]).await;
    doors.rig.set_port("ollama", other.port());
    assert_eq!(doors.get(doors.front, "/api/tags").await.0, 200);
    let shown = doors.rig.gateway.view();
    let local = shown.providers.iter().find(|one| one.name == "ollama");
    assert_eq!(local.unwrap().base_url, format!("http://{other}"));

    // Taken out of the settings, the door answers for nobody until it is closed.
    let mut spec = spec(Vec::new(), Vec::new());
    spec.fronts.clear();
    doors.rig.gateway.apply(spec).await;
    assert_eq!(doors.get(doors.front, "/api/tags").await.0, 503);
}

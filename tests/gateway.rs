//! Requests to models through a whole cockpit: passed on, accounted for, and still there after the worst.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::pin::pin;

use cockpit_model::{BreakerState, BreakerView, InstanceState, Problem, Status, VerdictState};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use studio_cockpit::cli::client::Message;
use support::{Cockpit, exe, free_port};

/// An Ollama and an `OpenAI` under our own supervision, and the gateway before them.
struct Stack {
    cockpit: Cockpit,
    gateway: u16,
    openai: u16,
    ollama: u16,
}

fn config(gateway: u16, openai: u16, ollama: u16, more: &str) -> String {
    format!(
        r#"
[gateway]
listen = "127.0.0.1:{gateway}"

[services.ollama]
kind = "ollama"
command = ["{exe}", "simulate", "ollama", "--port", "{{port}}"]
listen = "127.0.0.1:{ollama}"
ready = {{ every = "200ms" }}

[services.vendor]
command = ["{exe}", "simulate", "openai", "--port", "{{port}}"]
listen = "127.0.0.1:{openai}"
ready = {{ tcp = "127.0.0.1:{{port}}", every = "200ms" }}

[providers.openai]
kind = "openai"
api_key = {{ env = "VENDOR_KEY" }}
base_url = "http://127.0.0.1:{openai}/v1"

[routes.chat]
targets = ["openai/gpt-4o", "ollama/llama3.2"]
{more}"#,
        exe = exe().display()
    )
}

impl Stack {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (gateway, openai, ollama) = (free_port(), free_port(), free_port());
        let mut cockpit = Cockpit::new(&config(gateway, openai, ollama, ""));
        cockpit
            .env
            .push(("VENDOR_KEY".to_owned(), "sk-kept-elsewhere".to_owned()));
        cockpit.serve().await;
        cockpit.wait_all_ready().await;
        Self {
            cockpit,
            gateway,
            openai,
            ollama,
        }
    }

    async fn ask(&self, model: &str, user: &str) -> reqwest::Response {
        let body = json!({"model": model, "user": user, "messages": [{"role": "user", "content": "What is a mole?"}]});
        reqwest::Client::new()
            .post(format!(
                "http://127.0.0.1:{}/v1/chat/completions",
                self.gateway
            ))
            .body(body.to_string())
            .send()
            .await
            .expect("the gateway answers")
    }

    async fn get(&self, path: &str) -> Value {
        self.cockpit.client().get(path).await.unwrap()
    }
}

/// What a reader of the stream is told of calls next.
async fn told_of_calls(stream: impl Stream<Item = Result<Message, Problem>>) -> Value {
    let mut stream = pin!(stream);
    let waiting = async {
        loop {
            let message = stream.next().await.expect("the stream goes on").unwrap();
            if message.event == "calls" {
                return serde_json::from_str(&message.data).unwrap();
            }
        }
    };
    let told = tokio::time::timeout(support::PATIENCE, waiting).await;
    told.expect("calls are told")
}

fn header(answer: &reqwest::Response, name: &str) -> String {
    let value = answer.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_accounted_for_and_remembered() {
    let mut stack = Stack::start().await;
    let client = stack.cockpit.client();
    let looking = client.stream("/api/events/stream", None).await.unwrap();
    let answer = stack.ask("chat", "ada").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-cockpit-target"), "openai/gpt-4o");
    let id = header(&answer, "x-cockpit-call-id");
    let told = told_of_calls(looking).await;
    assert_eq!(
        (&told["ended"], &told["newest"][0]["id"]),
        (&json!(1), &json!(id))
    );
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(stack.ask("ollama/llama3.2", "bob").await.status(), 200);
    assert_eq!(stack.ask("openai/gpt-4o!400", "ada").await.status(), 400);

    let calls = stack.get("/api/calls").await;
    let calls = calls["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 3, "{calls:#?}");
    let first = calls.iter().find(|call| call["id"] == json!(id)).unwrap();
    assert_eq!(first["target"], "openai/gpt-4o");
    assert_eq!(first["input_tokens"], said["usage"]["prompt_tokens"]);
    assert_eq!(first["output_tokens"], said["usage"]["completion_tokens"]);
    assert!(first["cost_usd"].as_f64().unwrap() > 0.0);
    let failed = stack.get("/api/calls?outcome=error&user=ada").await;
    assert_eq!(failed["calls"].as_array().unwrap().len(), 1);
    assert_eq!(failed["calls"][0]["error"], "caller_refused");

    let at = first["at"].as_str().unwrap();
    let until = stack.get(&format!("/api/calls?until={at}")).await;
    assert_eq!(
        until["calls"].as_array().unwrap().len(),
        0,
        "the end is excluded"
    );
    let seen = stack.get("/api/gateway").await;
    assert_eq!(
        seen["listen"],
        json!(format!("127.0.0.1:{}", stack.gateway))
    );
    assert_eq!(
        (&seen["open"], &seen["needs_key"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        seen["routes"][0]["targets"],
        json!(["openai/gpt-4o", "ollama/llama3.2"])
    );

    let usage = stack.get("/api/usage?window=1h&group_by=model").await;
    let totals = &usage["totals"];
    assert_eq!(
        (totals["calls"].as_u64(), totals["errors"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(
        totals["cost_usd"], first["cost_usd"],
        "the others cost nothing"
    );
    assert_eq!(totals["latency_ms"]["exact"], json!(true));
    let keys: Vec<_> = usage["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["key"])
        .collect();
    assert!(keys.contains(&&json!("ollama/llama3.2")), "{keys:?}");
    assert_eq!(usage["business"]["active_users"], 2);

    let cost = client
        .get_bytes("/charts/cost.svg?window=1h")
        .await
        .unwrap();
    let cost = String::from_utf8(cost.to_vec()).unwrap();
    assert!(
        cost.contains("openai/gpt-4o") && cost.contains("3 requests"),
        "{cost}"
    );
    for kind in ["cost", "latency", "tokens", "requests"] {
        let path = format!("/charts/{kind}.png?window=7d");
        let png = client.get_bytes(&path).await.unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{kind}");
    }

    let (code, out, error) = stack.cockpit.verb(&["usage", "--by", "user"]).await;
    assert_eq!(code, 0, "{error}");
    let ada = out
        .lines()
        .find(|line| line.trim_start().starts_with("ada"))
        .expect(&out);
    assert!(ada.contains('2') && ada.contains('$'), "{out}");
    // Without keys everybody may ask.
    let (code, out, error) = stack.cockpit.verb(&["usage", "--by", "key"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.trim_start().starts_with("KEY"), "{out}");
    assert!(out.contains("(none)"), "{out}");
    let calls = stack.get("/api/calls?key=nobodys").await;
    assert_eq!(calls["calls"].as_array().unwrap().len(), 0, "{calls:#}");
    let (code, _, error) = stack.cockpit.verb(&["usage", "--window", "soon"]).await;
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("7d"), "{error}");

    // The engine is killed: what was written down is there, and the gateway is open again.
    stack.cockpit.kill_engine().await;
    stack.cockpit.serve().await;
    stack.cockpit.wait_all_ready().await;
    let after = stack.get("/api/calls").await;
    assert_eq!(after["calls"].as_array().unwrap().len(), 3);
    // That something may be missing is seen, also by the next engine.
    for _ in 0..2 {
        let usage = stack.get("/api/usage?window=1h").await;
        let interruptions = usage["interruptions"].as_array().unwrap();
        assert_eq!(interruptions.len(), 1, "{usage:#}");
        assert!(interruptions[0]["from"].as_str() < interruptions[0]["to"].as_str());
        let told = stack.get("/api/events?limit=1000").await;
        let told = told.as_array().unwrap();
        let mark = told
            .iter()
            .find(|event| event["known_until"] == interruptions[0]["from"]);
        assert!(
            mark.is_some_and(|mark| mark["mark"] == "engine_started"),
            "{told:#?}"
        );
        let (_, out, _) = stack.cockpit.verb(&["usage"]).await;
        assert!(out.contains("may be missing"), "{out}");
        stack.cockpit.terminate_engine().await;
        stack.cockpit.serve().await;
        stack.cockpit.wait_all_ready().await;
    }
    assert_eq!(stack.ask("chat", "ada").await.status(), 200);
    assert!(
        !stack.cockpit.log().contains("sk-kept-elsewhere"),
        "a secret in the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_is_passed_over_and_a_breaker_can_be_closed_by_hand() {
    let stack = Stack::start().await;
    stack.cockpit.act("vendor", "stop").await;
    // The route goes on; what is left of the vendor is an address that nobody answers at.
    for _ in 0..2 {
        let answer = stack.ask("chat", "ada").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-cockpit-target"), "ollama/llama3.2");
        assert_eq!(header(&answer, "x-cockpit-fallback"), "true");
    }
    stack.cockpit.act("ollama", "stop").await;
    let answer = stack.ask("ollama/llama3.2", "ada").await;
    assert_eq!(answer.status(), 503);
    let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "provider_unavailable");

    let client = stack.cockpit.client();
    let breakers: Vec<BreakerView> = client.get("/api/breakers").await.unwrap();
    let vendor = breakers
        .iter()
        .find(|one| one.provider == "openai")
        .unwrap();
    assert!(vendor.failed > 0, "{vendor:?}");
    let reset: Vec<BreakerView> = client
        .post("/api/breakers/openai/gpt-4o/reset", &json!({}))
        .await
        .unwrap();
    assert!(reset.iter().all(|one| one.failed == 0), "{reset:?}");
    let unknown = client
        .post::<Value>("/api/breakers/openai/never/reset", &json!({}))
        .await;
    assert_eq!(unknown.unwrap_err().code, cockpit_model::Code::NotFound);

    // The vendor is left alone; but when it is there again, nobody waits for the time to be over.
    let state = async || {
        let breakers: Vec<BreakerView> = client.get("/api/breakers").await.unwrap();
        let vendor = breakers.into_iter().find(|one| one.provider == "openai");
        vendor.unwrap().state
    };
    for _ in 0..2 {
        stack.ask("openai/gpt-4o", "ada").await;
    }
    assert_eq!(state().await, BreakerState::Open);
    stack.cockpit.act("vendor", "start").await;
    until(async || state().await != BreakerState::Open).await;
    assert_eq!(stack.ask("openai/gpt-4o", "ada").await.status(), 200);
    assert_eq!(state().await, BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_is_what_the_verdict_says() {
    let stack = Stack::start().await;
    let spent = "\n[budgets]\ndaily_usd = 0.000001\n";
    stack
        .cockpit
        .write_config(&config(stack.gateway, stack.openai, stack.ollama, spent));
    let is_set = async || {
        !stack.get("/api/gateway").await["budgets"]
            .as_array()
            .unwrap()
            .is_empty()
    };
    until(is_set).await;
    assert_eq!(stack.ask("openai/gpt-4o", "ada").await.status(), 200);
    let says = |status: &Status| status.verdict.summary == "The budget of this cockpit is spent";
    let status = stack.cockpit.wait_status("it is told", says).await;
    assert_eq!(status.verdict.state, VerdictState::Degraded);
    assert_eq!(stack.ask("openai/gpt-4o", "ada").await.status(), 402);
    let calls = stack.get("/api/calls?error=policy_budget_exhausted").await;
    assert_eq!(calls["calls"][0]["provider"], "", "it is nobody's error");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_follows_a_saved_configuration() {
    let stack = Stack::start().await;
    // A route and a key are added: from then on a key is needed.
    let more = "\n[routes.fast]\ntargets = [\"ollama/llama3.2\"]\n\n[keys.app]\nsecret = { env = \"VENDOR_KEY\" }\n";
    let before = stack.cockpit.services().await;
    stack
        .cockpit
        .write_config(&config(stack.gateway, stack.openai, stack.ollama, more));
    let refused = async {
        while stack.ask("chat", "ada").await.status() != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, refused)
        .await
        .expect("the key is asked for");
    let with_key = reqwest::Client::new()
        .post(format!(
            "http://127.0.0.1:{}/v1/chat/completions",
            stack.gateway
        ))
        .bearer_auth("sk-kept-elsewhere")
        .body(json!({"model": "fast", "messages": [{"role": "user", "content": "x"}]}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(with_key.status(), 200);
    let calls = stack.get("/api/calls?route=fast").await;
    assert_eq!(calls["calls"][0]["key"], "app");
    // And no service was touched.
    let after = stack.cockpit.services().await;
    let pids = |services: &[cockpit_model::Service]| -> Vec<_> {
        services.iter().map(|one| one.instances[0].pid).collect()
    };
    assert_eq!(pids(&before), pids(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_its_probe_but_fails_requests_is_shown_as_degraded() {
    let stack = Stack::start().await;
    let fails = async |model: &str| {
        // Five in a row, retries included.
        for _ in 0..2 {
            assert_eq!(stack.ask(model, "ada").await.status(), 500);
        }
    };
    fails("ollama/llama3.2!500").await;
    let ollama = stack
        .cockpit
        .wait_for("ollama", "degraded", |one| {
            one.state == InstanceState::Degraded
        })
        .await;
    for word in ["answers its probe", "llama3.2!500", "failed"] {
        assert!(ollama.cause.contains(word), "{}", ollama.cause);
    }
    assert!(ollama.instances[0].state.is_ready(), "its probe passes");
    let status = stack.cockpit.status().await;
    assert_eq!(status.verdict.state, VerdictState::Degraded);
    // Its other models are asked all the same.
    assert_eq!(stack.ask("ollama/llama3.2", "ada").await.status(), 200);

    // Started anew, what its former process did says nothing of it.
    stack.cockpit.act("ollama", "restart").await;
    stack.cockpit.wait_ready("ollama").await;
    fails("ollama/llama3.2!500").await;
    let degraded = |one: &cockpit_model::Service| one.state == InstanceState::Degraded;
    stack
        .cockpit
        .wait_for("ollama", "degraded again", degraded)
        .await;
    let client = stack.cockpit.client();
    let reset = "/api/breakers/ollama/llama3.2!500/reset";
    client.post::<Value>(reset, &json!({})).await.unwrap();
    stack.cockpit.wait_ready("ollama").await;

    // A vendor is no service: the verdict says who fails.
    fails("openai/gpt-4o!500").await;
    let status = stack
        .cockpit
        .wait_status("the verdict names the vendor", |status| {
            status.verdict.state == VerdictState::Degraded
                && status.verdict.summary.contains("openai")
        });
    let verdict = status.await.verdict;
    assert_eq!(verdict.summary, "openai fails requests");
    // No route leads to that model.
    assert_eq!(
        verdict.cause,
        "`gpt-4o!500`: 5 calls in a row failed: provider_error"
    );
    let client = stack.cockpit.client();
    let reset = "/api/breakers/openai/gpt-4o!500/reset";
    client.post::<Value>(reset, &json!({})).await.unwrap();
    let well = |status: &Status| status.verdict.state == VerdictState::Well;
    stack.cockpit.wait_status("all is well again", well).await;
    // Each turn was told once.
    let events = stack.get("/api/events?limit=500").await;
    let turns = events.as_array().unwrap().iter();
    let turns: Vec<_> = turns
        .filter(|event| event["type"] == "provider")
        .map(|event| (event["provider"].clone(), event["to"].clone()))
        .collect();
    let of = |name: &str, to: &str| {
        let turn = (json!(name), json!(to));
        turns.iter().filter(|one| **one == turn).count()
    };
    assert_eq!(of("ollama", "degraded"), 2, "{turns:?}");
    assert_eq!(of("openai", "degraded"), 1, "{turns:?}");
    assert_eq!(turns.len(), 6, "{turns:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_kept_only_where_somebody_wants_it_and_without_personal_data() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut stack = Stack::start().await;
    let file = stack.cockpit.data().join("prompts.db");
    let ask = async |stack: &Stack, model: &str| {
        let body = json!({"model": model, "messages": [
            {"role": "user", "content": "I am ada@example.com, +49 170 1234567. What is a mole?"}
        ]});
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", stack.gateway);
        let answer = reqwest::Client::new()
            .post(url)
            .body(body.to_string())
            .send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let id = header(&answer, "x-cockpit-call-id");
        let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (id, said["choices"][0]["message"]["content"].clone())
    };
    let (id, _) = ask(&stack, "chat").await;
    let detail = stack.get(&format!("/api/calls/{id}")).await;
    assert_eq!(
        (&detail["call"]["id"], &detail["kept"]),
        (&json!(id), &Value::Null)
    );
    assert!(!file.exists(), "nobody wants prompts kept");

    let private = "\n[routes.private]\ntargets = [\"openai/gpt-4o\"]\npii = \"redact\"\nkeep_prompts = \"7d\"\n";
    let with = config(stack.gateway, stack.openai, stack.ollama, private);
    stack.cockpit.write_config(&with);
    until(async || {
        let gateway = stack.get("/api/gateway").await;
        let routes = gateway["routes"].as_array().unwrap();
        routes.iter().any(|route| route["name"] == "private")
    })
    .await;
    let (id, said) = ask(&stack, "private").await;
    let detail = stack.get(&format!("/api/calls/{id}")).await;
    let kept = &detail["kept"];
    assert_eq!(kept["answer"], said);
    let prompt = kept["prompt"].as_str().unwrap();
    assert!(
        prompt.contains("I am [EMAIL], [PHONE]. What is a mole?"),
        "{prompt}"
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let url = format!("http://127.0.0.1:{}/_requests", stack.openai);
    let seen = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert_eq!(
        seen.matches("ada@example.com").count(),
        1,
        "of the route that observes"
    );
    assert!(seen.contains("[EMAIL]"));
    until(async || {
        let usage = stack.get("/api/usage?window=1h").await;
        usage["security"]["pii_detections"].as_u64().unwrap() >= 4
    })
    .await;

    // It is there after the worst, and gone with its rule.
    stack.cockpit.kill_engine().await;
    stack.cockpit.serve().await;
    stack.cockpit.wait_all_ready().await;
    let path = format!("/api/calls/{id}");
    until(async || stack.get(&path).await["kept"]["answer"] == said).await;
    stack
        .cockpit
        .write_config(&config(stack.gateway, stack.openai, stack.ollama, ""));
    until(async || !file.exists()).await;
    assert_eq!(stack.get(&path).await["kept"], Value::Null);
    let unknown = stack
        .cockpit
        .client()
        .get::<Value>("/api/calls/nobodys")
        .await;
    assert_eq!(unknown.unwrap_err().code, cockpit_model::Code::NotFound);
    assert!(!stack.cockpit.log().contains("ada@example.com"));
}

/// Until it is so.
async fn until(mut it_is: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !it_is().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, waiting)
        .await
        .expect("it becomes so");
}

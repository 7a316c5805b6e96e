//! Every route answers what the cockpit says, and asks it what was asked.

use super::{Entry, fake, request, sample};

#[tokio::test]
async fn health_and_readiness_speak_for_the_engine() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    assert_eq!(entry.get("/healthz").await.text(), "ok\n");
    assert_eq!(entry.get("/readyz").await.text(), "ready\n");
    *fake.ready.lock().unwrap() = false;
    let got = entry.get("/readyz").await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (503, "not_running")
    );
    assert_eq!(entry.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn status_and_services() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let got = entry.get("/api/status").await;
    assert_eq!(got.json(), serde_json::to_value(sample::status()).unwrap());
    assert_eq!(got.header("content-type"), "application/json");
    let list = entry.get("/api/services").await.json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["name"], "api");
    let one = entry.get("/api/services/ollama").await.json();
    assert_eq!(one["name"], "ollama");
    // A name arrives decoded.
    assert_eq!(entry.get("/api/services/%61pi").await.json()["name"], "api");
}

#[tokio::test]
async fn actions_reach_the_cockpit_and_answer_with_the_service() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    for action in ["start", "stop", "restart", "take_over"] {
        let got = entry.post(&format!("/api/services/api/{action}"), "").await;
        assert_eq!(got.status, 200, "{action}");
        assert_eq!(got.json()["name"], "api");
    }
    let all = entry.post("/api/stop-all", "").await;
    assert_eq!(all.json().as_array().unwrap().len(), 2);
    let unload = entry
        .post("/api/services/ollama/models/hf.co%2Fa%2Fb:Q4/unload", "{}")
        .await;
    assert_eq!(unload.status, 200);
    assert_eq!(
        fake.asked(),
        [
            "start api",
            "stop api",
            "restart api",
            "take_over api",
            "stop all",
            "unload hf.co/a/b:Q4 of ollama"
        ]
    );
}

#[tokio::test]
async fn logs_are_json_lines() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let got = entry
        .get("/api/services/api/logs?tail=5&grep=a%20b&instance=1")
        .await;
    assert_eq!(got.header("content-type"), "application/x-ndjson");
    let text = got.text();
    let lines: Vec<cockpit_model::logs::LogLine> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines[0], sample::line("one"));
    assert_eq!(lines[1], sample::line("two \"quoted\"\u{1b}[0m"));
    entry.get("/api/services/api/logs").await;
    assert_eq!(
        fake.asked(),
        [
            "logs api LogQuery { tail: 5, grep: Some(\"a b\"), instance: Some(1) }",
            "logs api LogQuery { tail: 200, grep: None, instance: None }"
        ]
    );
}

#[tokio::test]
async fn host_takes_a_window_and_points() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let got = entry.get("/api/host").await.json();
    assert_eq!(got["cpu"]["percent"], 25.0);
    assert_eq!(
        got["series"]["values"]["cpu_percent"][1],
        serde_json::Value::Null
    );
    entry.get("/api/host?window=7d&points=2000").await;
    assert_eq!(fake.asked(), ["host 3600s 600", "host 604800s 2000"]);
}

#[tokio::test]
async fn events_take_a_limit_and_a_service() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let got = entry.get("/api/events?limit=7&service=api").await.json();
    assert_eq!(got[0]["type"], "instance_state");
    entry.get("/api/events").await;
    assert_eq!(fake.asked(), ["events 7 Some(\"api\")", "events 100 None"]);
}

#[tokio::test]
async fn charts_come_in_two_formats() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let svg = entry.get("/charts/cpu.svg?window=1h").await;
    assert_eq!(svg.header("content-type"), "image/svg+xml");
    assert!(
        svg.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let png = entry.get("/charts/memory.png").await;
    assert_eq!(png.header("content-type"), "image/png");
    for kind in ["cost", "latency", "tokens", "requests"] {
        let got = entry.get(&format!("/charts/{kind}.svg?window=7d")).await;
        assert_eq!(got.header("content-type"), "image/svg+xml", "{kind}");
    }
    assert_eq!(
        fake.asked(),
        [
            "chart Chart { kind: Cpu, format: Svg, window: 3600s }",
            "chart Chart { kind: Memory, format: Png, window: 86400s }",
            "chart Chart { kind: Cost, format: Svg, window: 604800s }",
            "chart Chart { kind: Latency, format: Svg, window: 604800s }",
            "chart Chart { kind: Tokens, format: Svg, window: 604800s }",
            "chart Chart { kind: Requests, format: Svg, window: 604800s }",
        ]
    );
}

#[tokio::test]
async fn detect_login_and_the_end() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    assert_eq!(
        entry.get("/api/detect").await.json()["path"],
        "/d/cockpit.toml"
    );
    assert_eq!(entry.get("/api/login").await.json()["on"], false);
    assert_eq!(
        entry.post("/api/login", r#"{"on":true}"#).await.json()["on"],
        true
    );
    assert_eq!(entry.get("/api/login").await.json()["on"], true);
    let got = entry.post("/api/engine/stop", "").await;
    assert_eq!(got.status, 202);
    assert_eq!(got.json()["stop_services"], false);
    entry
        .post("/api/engine/stop", r#"{"stop_services":true}"#)
        .await;
    assert_eq!(
        fake.asked(),
        ["detect", "login true", "shutdown false", "shutdown true"]
    );
}

#[tokio::test]
async fn the_ui_is_served_with_its_types_and_caching() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake).without_token();
    let page = entry.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'self'")
    );
    assert!(
        page.header("content-security-policy")
            .contains("frame-ancestors 'none'")
    );
    let script = entry.get("/assets/app-1a2b.js").await;
    assert_eq!(script.header("content-type"), "text/javascript");
    assert!(script.header("cache-control").contains("immutable"));
    let mut again = request("GET", "/index.html", "");
    let tag = page.headers.get("etag").unwrap().clone();
    again.headers_mut().insert("if-none-match", tag);
    let again = entry.ask(again).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    // Only the root falls back to the page: a path that does not exist is told so.
    assert_eq!(entry.get("/services").await.status, 401);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    for path in ["/healthz", "/api/status", "/metrics", "/openapi.json", "/"] {
        let head = entry.ask(request("HEAD", path, "")).await;
        let get = entry.get(path).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    for path in [
        "/healthz",
        "/api/status",
        "/nothing",
        "/",
        "/charts/cpu.svg",
        "/api/host?window=x",
    ] {
        let got = entry.get(path).await;
        assert_eq!(got.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(got.header("referrer-policy"), "no-referrer");
        assert_eq!(got.header("x-frame-options"), "DENY");
        assert!(
            got.header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
        assert!(!got.header("cache-control").is_empty());
    }
    assert_eq!(
        entry.get("/api/status").await.header("cache-control"),
        "no-store"
    );
}

#[tokio::test]
async fn a_key_is_told_once() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let made = entry
        .post("/api/keys", r#"{"name":"app","limits":{"usd_per_day":5}}"#)
        .await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["secret"], "cockpit_secret");
    assert_eq!(made.json()["name"], "app");
    assert_eq!(made.header("cache-control"), "no-store");
    let list = entry.get("/api/keys").await;
    assert!(!list.text().contains("secret"), "{}", list.text());
    let removed = entry.ask(request("DELETE", "/api/keys/a%20b", "")).await;
    assert_eq!(removed.json()["removed"], "a b");
    for wrong in [
        "",
        r#"{"name":"app","limit":{}}"#,
        r#"{"name":"app","limits":{"usd":1}}"#,
    ] {
        assert_eq!(entry.post("/api/keys", wrong).await.code(), "bad_request");
    }
    let asked = fake.asked();
    assert!(
        asked[0].starts_with("add key app Limits") && asked[0].contains("Some"),
        "{asked:?}"
    );
    assert_eq!(asked[1], "remove key a b");
    assert_eq!(asked.len(), 2);
}

//! Every refusal is clear, and nothing refused reaches the cockpit.

use axum::body::Body;
use cockpit_model::{Code, Problem};
use futures_util::StreamExt;
use proptest::prelude::*;

use super::{Entry, fake, request};
use crate::router::{EXCHANGE, table};

#[tokio::test]
async fn everything_private_needs_the_token() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone()).without_token();
    for route in table() {
        let path = route
            .path
            .replace("{name}", "api")
            .replace("{model}", "m")
            .replace("{chart}", "cpu.svg");
        let got = entry.ask(request(route.method.as_str(), &path, "")).await;
        if matches!(route.path, "/healthz" | "/readyz") {
            assert_eq!(got.status, 200, "{path}");
        } else if route.path == EXCHANGE {
            // What it wants instead of the token is a code.
            assert_eq!(
                (got.status.as_u16(), got.code().as_str()),
                (400, "bad_request")
            );
        } else {
            assert_eq!(
                (got.status.as_u16(), got.code().as_str()),
                (401, "unauthorized"),
                "{path}"
            );
            assert!(got.header("www-authenticate").starts_with("Bearer"));
        }
    }
    // What does not exist is not told apart from what does.
    assert_eq!(entry.get("/api/nothing").await.status, 401);
    assert_eq!(entry.post("/", "").await.status, 401);
    assert_eq!(entry.post("/healthz", "").await.status, 401);
    assert_eq!(entry.get(EXCHANGE).await.status, 401);
    assert_eq!(entry.post("/api/sign-in/", "").await.status, 401);
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn a_router_without_a_door_fails_closed() {
    use tower::ServiceExt;
    let (fake, _feed) = fake();
    let router = crate::router(fake, super::ui(), crate::SignIn::new(super::TOKEN));
    let response = router
        .oneshot(request("GET", "/api/status", ""))
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    for path in [
        "/nothing",
        "/api",
        "/api/",
        "/api/services/",
        "/api/services/api/",
        "/charts",
        "/assets/",
        "/assets/../index.html",
        "//",
        "/api/services/api/explode",
    ] {
        let got = entry.get(path).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    for (method, path) in [
        ("DELETE", "/api/status"),
        ("GET", "/api/services/api/start"),
        ("PUT", "/"),
        ("POST", "/api/services/api/logs"),
    ] {
        let got = entry.ask(request(method, path, "")).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (405, "method_not_allowed"),
            "{method} {path}"
        );
    }
    let got = entry.ask(request("DELETE", "/api/login", "")).await;
    assert!(got.header("allow").contains("POST"), "{:?}", got.headers);
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn names_that_cannot_be_services_never_reach_the_cockpit() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let long = "a".repeat(65);
    for name in [
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "a%5Cb",
        "%ff",
        "%",
        "%zz",
        "a%20b",
        "%C3%A4",
        ".hidden",
        "~",
        "a%0d%0ab",
        &long,
    ] {
        for (method, tail) in [
            ("GET", ""),
            ("POST", "/start"),
            ("GET", "/logs"),
            ("POST", "/models/m/unload"),
        ] {
            let path = format!("/api/services/{name}{tail}");
            let got = entry.ask(request(method, &path, "")).await;
            assert_eq!(got.status, 404, "{method} {path}");
            let code = got.code();
            assert!(
                matches!(code.as_str(), "unknown_service" | "not_found"),
                "{path}: {code}"
            );
        }
    }
    assert_eq!(fake.asked(), [""; 0]);
    let got = entry.get("/api/services/nobody").await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (404, "unknown_service")
    );
    let got = entry.get("/api/events?service=../x").await;
    assert_eq!(got.code(), "unknown_service");
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    for (path, name) in [
        ("/api/host?window=1", "window"),
        ("/api/host?window=-1h", "window"),
        ("/api/host?window=0s", "window"),
        ("/api/host?window=1y", "window"),
        ("/api/host?window=9999999d", "window"),
        ("/api/host?points=0", "points"),
        ("/api/host?points=2001", "points"),
        ("/api/host?points=1e3", "points"),
        ("/api/services/api/logs?tail=-1", "tail"),
        ("/api/services/api/logs?tail=10001", "tail"),
        ("/api/services/api/logs?follow=maybe", "follow"),
        ("/api/services/api/logs?instance=65536", "instance"),
        ("/api/events?limit=0", "limit"),
        ("/api/events?limit=1001", "limit"),
        ("/api/events/stream?last_event_id=x", "last_event_id"),
        ("/charts/cpu.svg?window=soon", "window"),
    ] {
        let got = entry.get(path).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (400, "bad_request"),
            "{path}"
        );
        assert!(
            got.json()["title"].as_str().unwrap().contains(name),
            "{path}"
        );
    }
    let mut resume = request("GET", "/api/events/stream", "");
    resume
        .headers_mut()
        .insert("last-event-id", "seven".parse().unwrap());
    let got = entry.ask(resume).await;
    assert_eq!(got.code(), "bad_request");
    assert!(got.text().contains("Last-Event-ID"));
    let grep = format!("/api/services/api/logs?grep={}", "x".repeat(1025));
    assert_eq!(entry.get(&grep).await.code(), "bad_request");
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn a_parameter_that_does_not_exist_is_refused_with_those_that_do() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    for (path, name) in [
        ("/api/usage?by=model", "by"),
        ("/api/usage?window=1h&Group_by=model", "Group_by"),
        ("/api/calls?window=1h&usr=ada", "usr"),
        ("/api/calls?=", ""),
    ] {
        let got = entry.get(path).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (400, "bad_request"),
            "{path}"
        );
        let title = got.json()["title"].as_str().unwrap().to_owned();
        assert!(title.contains(&format!("`{name}`")), "{path}: {title}");
    }
    let got = entry.get("/api/usage?by=model").await;
    assert_eq!(
        got.json()["remedy"],
        "this path takes `window`, `until`, `step` and `group_by`"
    );
    let got = entry.get("/charts/cpu.svg?step=1m").await;
    assert_eq!(got.json()["remedy"], "this path takes `window` alone");
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn unknown_charts() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    for chart in [
        "cpu",
        "cpu.gif",
        "costs.svg",
        "cpu.svg.png",
        "%2e%2e",
        "%ff",
    ] {
        let got = entry.get(&format!("/charts/{chart}")).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (404, "not_found"),
            "{chart}"
        );
    }
}

#[tokio::test]
async fn malformed_and_oversized_bodies() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    for json in [
        "{",
        "[]",
        "null",
        r#"{"on":"yes"}"#,
        "{}",
        r#"{"on":true,"of":1}"#,
        "\u{0}",
    ] {
        let got = entry.post("/api/login", json).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (400, "bad_request"),
            "{json}"
        );
    }
    let mut form = request("POST", "/api/login", r#"{"on":true}"#);
    form.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    let got = entry.ask(form).await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (415, "bad_request")
    );

    let huge = format!(r#"{{"on":true,"x":"{}"}}"#, "x".repeat(1024 * 1024));
    let got = entry.post("/api/login", &huge).await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (413, "too_large")
    );
    // Declared too large, wherever it goes.
    let mut declared = request("POST", "/api/services/api/start", "");
    declared
        .headers_mut()
        .insert("content-length", "1048577".parse().unwrap());
    assert_eq!(entry.ask(declared).await.status, 413);
    // Not declared, but found out.
    let pieces =
        futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100_000])));
    let mut streamed = request("POST", "/api/login", "{}");
    *streamed.body_mut() = Body::from_stream(pieces);
    assert_eq!(entry.ask(streamed).await.status, 413);
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_arrives_is_given_up() {
    let (fake, _feed) = fake();
    for (entry, path) in [
        (Entry::new(fake.clone()), "/api/login"),
        // Anybody may begin one here.
        (Entry::new(fake.clone()).without_token(), EXCHANGE),
    ] {
        let mut slow = request("POST", path, "{}");
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(b"{".to_vec())]);
        *slow.body_mut() = Body::from_stream(begun.chain(futures_util::stream::pending()));
        let got = entry.ask(slow).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (408, "bad_request"),
            "{path}"
        );
    }
    assert_eq!(fake.asked(), [""; 0]);
}

#[tokio::test]
async fn an_address_that_is_too_long() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    let got = entry
        .get(&format!("/api/status?x={}", "x".repeat(5000)))
        .await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (414, "too_large")
    );
}

#[tokio::test]
async fn what_the_cockpit_refuses_is_passed_on_whole() {
    let (fake, _feed) = fake();
    let problem = Problem::new(Code::PortConflict, "port 3000 is taken")
        .detail("by nginx (pid 7)")
        .remedy("stop it");
    *fake.fails.lock().unwrap() = Some(problem);
    let entry = Entry::new(fake);
    let got = entry.post("/api/services/api/start", "").await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (409, "port_conflict")
    );
    assert_eq!(got.json()["detail"], "by nginx (pid 7)");
    assert_eq!(got.json()["remedy"], "stop it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_address_panics(
        method in prop::sample::select(vec!["GET", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH"]),
        start in prop::sample::select(vec!["/", "/api/", "/api/services/", "/api/services/api/", "/charts/", "/api/events", "/api/host"]),
        rest in "[ -~]{0,40}",
        authorized in any::<bool>(),
    ) {
        let path = format!("{start}{rest}");
        let Ok(uri) = path.parse::<axum::http::Uri>() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let (fake, _feed) = fake();
            let mut entry = Entry::new(fake);
            entry.authorized = authorized;
            let mut request = request(method, "/", "");
            *request.uri_mut() = uri;
            // Only the head: a live stream has no end.
            entry.send(request).await.status().as_u16()
        });
        prop_assert!(status < 500, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn events_may_be_many_but_not_too_many() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let large = " ".repeat(crate::gate::MAX_EVENTS);
    assert_eq!(entry.post("/api/events", &large).await.status, 200);
    let larger = format!("{large} ");
    let got = entry.post("/api/events", &larger).await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (413, "too_large")
    );
    // Also where the size is not declared.
    let pieces = futures_util::stream::iter(
        (0..9).map(|_| Ok::<_, std::io::Error>(" ".repeat(1024 * 1024))),
    );
    let undeclared = axum::http::Request::post("/api/events")
        .body(Body::from_stream(pieces))
        .unwrap();
    assert_eq!(entry.ask(undeclared).await.status, 413);
    assert_eq!(
        fake.asked(),
        [format!("ingest {} gzip false", crate::gate::MAX_EVENTS)]
    );
}

#[tokio::test]
async fn events_say_how_they_are_packed_and_may_come_again() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake.clone());
    let packed = |how: &str| {
        axum::http::Request::post("/api/events")
            .header("content-encoding", how)
            .body(Body::from("x"))
            .unwrap()
    };
    assert_eq!(entry.ask(packed("gzip")).await.status, 200);
    assert_eq!(fake.asked(), ["ingest 1 gzip true"]);
    let got = entry.ask(packed("br")).await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (415, "bad_request")
    );
    *fake.fails.lock().unwrap() = Some(Problem::new(Code::Storage, "the disk is full"));
    let got = entry.post("/api/events", "{}").await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (503, "storage"));
    assert_eq!(got.header("retry-after"), "1");
}

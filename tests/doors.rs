//! The doors from outside: refusals, exit codes, two cockpits, trouble with files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::StatusCode;
use serde_json::Value;
use support::Cockpit;

const QUIET: &str = "[services.quiet]\ncommand = [\"sleep\", \"1000\"]\n";

struct Web {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Web {
    async fn new(cockpit: &Cockpit) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (code, url, error) = cockpit.verb(&["open", "--print-url"]).await;
        assert_eq!(code, 0, "{error}");
        let (base, code) = url.trim().split_once("/#code=").expect("a sign-in link");
        let mut web = Self {
            http: reqwest::Client::new(),
            base: base.to_owned(),
            token: String::new(),
        };
        let (status, body) = web.exchange(code).await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["token"].as_str().unwrap().clone_into(&mut web.token);
        web
    }

    /// What a page does with the code of the link it was opened by.
    async fn exchange(&self, code: &str) -> (StatusCode, String) {
        let request = self
            .http
            .post(format!("{}/api/sign-in", self.base))
            .header("origin", &self.base)
            .json(&serde_json::json!({ "code": code }));
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = self.http.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tcp_door_asks_for_the_token_and_the_right_host() {
    let cockpit = Cockpit::start(QUIET).await;
    cockpit.wait_ready("quiet").await;
    let web = Web::new(&cockpit).await;
    let bearer = format!("Bearer {}", web.token);
    let (status, body) = web
        .get("/api/services", &[("authorization", &bearer)])
        .await;
    assert_eq!(status, 200, "{body}");

    let refused = [
        ("/api/services", vec![], 401, "unauthorized"),
        (
            "/api/services",
            vec![("authorization", "Bearer wrong")],
            401,
            "unauthorized",
        ),
        ("/metrics", vec![], 401, "unauthorized"),
        (
            "/api/services",
            vec![("authorization", bearer.as_str()), ("host", "evil.example")],
            403,
            "forbidden_host",
        ),
        ("/", vec![("host", "evil.example")], 403, "forbidden_host"),
        (
            "/api/services",
            vec![
                ("authorization", &bearer),
                ("origin", "https://evil.example"),
            ],
            403,
            "forbidden_origin",
        ),
        (
            "/api/services/..%2f..%2fetc%2fpasswd",
            vec![("authorization", &bearer)],
            404,
            "unknown_service",
        ),
        (
            "/api/services/quiet/logs?tail=many",
            vec![("authorization", &bearer)],
            400,
            "bad_request",
        ),
        (
            "/api/nothing",
            vec![("authorization", &bearer)],
            404,
            "not_found",
        ),
    ];
    for (path, headers, status, code) in refused {
        let (got, body) = web.get(path, &headers).await;
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        assert_eq!(
            (got.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{path}: {body}"
        );
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(web.get(path, &[]).await.0, 200, "{path}");
    }
    let (_, metrics) = web.get("/metrics", &[("authorization", &bearer)]).await;
    assert!(metrics.contains("cockpit_service_up{"), "{metrics}");
    for chart in ["/charts/cpu.svg?window=1h", "/charts/memory.png?window=1h"] {
        assert_eq!(
            web.get(chart, &[("authorization", &bearer)]).await.0,
            200,
            "{chart}"
        );
    }
    let (status, _) = web
        .get("/openapi.json", &[("authorization", &bearer)])
        .await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_link_holds_no_token_and_is_worth_one_exchange() {
    let cockpit = Cockpit::start(QUIET).await;
    let token = fs::read_to_string(cockpit.data().join("token")).unwrap();
    let (_, url, _) = cockpit.verb(&["open", "--print-url"]).await;
    assert!(!url.contains(token.trim()), "{url}");
    let code = url.trim().split_once("/#code=").unwrap().1;

    let web = Web::new(&cockpit).await;
    assert_eq!(web.token, token.trim());
    let elsewhere = web
        .http
        .post(format!("{}/api/sign-in", web.base))
        .header("origin", "http://evil.example")
        .json(&serde_json::json!({ "code": code }));
    assert_eq!(elsewhere.send().await.unwrap().status(), 403);
    assert_eq!(web.exchange(code).await.0, 200);
    let (status, body) = web.exchange(code).await;
    assert_eq!(status, 401);
    assert!(body.contains("\"code\":\"sign_in_refused\""), "{body}");
    let log = cockpit.log();
    assert!(log.contains("a sign-in link was refused"), "{log}");
    for secret in [token.trim(), code, &web.token] {
        assert!(!log.contains(secret), "the log holds a secret");
    }
    let stranger = web
        .http
        .post(format!("{}/api/sign-in/codes", web.base))
        .send();
    assert_eq!(stranger.await.unwrap().status(), 401);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_opens_a_browser_is_told_a_code_and_never_the_token() {
    let cockpit = Cockpit::start(QUIET).await;
    let bin = cockpit.data().join("bin");
    fs::create_dir(&bin).unwrap();
    let told = cockpit.data().join("told");
    support::script(
        &bin.join("xdg-open"),
        &format!("printf '%s\n' \"$@\" > '{}'", told.display()),
    );
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let (code, out, error) = cockpit.verb_with(&["open"], &[("PATH", &path)]).await;
    assert_eq!((code, out.as_str()), (0, ""), "{error}");
    let told = fs::read_to_string(told).unwrap();
    assert!(told.starts_with("http://127.0.0.1:"), "{told}");
    assert!(told.contains("/#code="), "{told}");
    let token = fs::read_to_string(cockpit.data().join("token")).unwrap();
    assert!(!told.contains(token.trim()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_is_private() {
    let cockpit = Cockpit::start(QUIET).await;
    for name in ["token", "engine.sock"] {
        let mode = fs::metadata(cockpit.data().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let token = fs::read_to_string(cockpit.data().join("token")).unwrap();
    assert!(
        !cockpit.log().contains(token.trim()),
        "the log holds the token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cockpit_on_the_same_folder_names_the_first() {
    let cockpit = Cockpit::start(QUIET).await;
    let (code, _, error) = cockpit.verb(&["serve"]).await;
    let pid = cockpit.engine.as_ref().unwrap().id().unwrap();
    assert_eq!(code, 1, "{error}");
    assert!(error.contains(&format!("pid {pid}")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cockpit_the_verbs_say_so() {
    let cockpit = Cockpit::new(QUIET);
    for args in [
        &["status"][..],
        &["services"],
        &["logs", "quiet"],
        &["restart", "quiet"],
        &["stop", "--all"],
    ] {
        let (code, out, error) = cockpit.verb(args).await;
        assert_eq!(code, 3, "{args:?}: {out}{error}");
        assert!(error.contains("serve"), "{args:?} says what to do: {error}");
    }
    let (code, out, error) = cockpit.verb(&["check"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("quiet"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_starts_nothing() {
    let cockpit = Cockpit::new("[services.a]\ncommand = [\"true\"]\ndepends_on = [\"b\"]\n");
    for verb in ["check", "serve"] {
        let (code, _, error) = cockpit.verb(&[verb]).await;
        assert_eq!(code, 2, "{verb}: {error}");
        assert!(error.contains("cockpit.toml:6:15"), "{verb}: {error}");
    }
    assert!(cockpit.shims().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_nobody_watches_waits_for_the_configuration_to_be_mended() {
    let mut cockpit = Cockpit::new("[services.a]\ncomand = [\"sleep\", \"1000\"]\n");
    // The mistake may be anywhere in the file, also where the address stands.
    let port = support::free_port();
    let text =
        format!("[cockpit]\nlisten = \"127.0.0.1:{port}\"\n[services.a]\ncomand = [\"x\"]\n");
    fs::write(cockpit.config_path(), text).unwrap();
    let log = cockpit.data().join("engine.log");
    cockpit.serve_with(&["--await-config"]).await;
    let status = cockpit.status().await;
    assert_eq!(
        status.config.errors.len(),
        1,
        "{}",
        fs::read_to_string(log).unwrap()
    );
    assert!(cockpit.services().await.is_empty());
    cockpit.write_config(QUIET);
    cockpit.wait_ready("quiet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_set_aside_and_the_services_live_on() {
    let mut cockpit = Cockpit::start(QUIET).await;
    let before = support::pid(&cockpit.wait_ready("quiet").await);
    cockpit.kill_engine().await;
    for name in ["state.db", "telemetry.db"] {
        fs::write(
            cockpit.data().join(name),
            "this is no database, though it is long enough to be read as one".repeat(99),
        )
        .unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(cockpit.data().join(format!("{name}{suffix}")));
        }
    }
    cockpit.serve().await;
    assert_eq!(support::pid(&cockpit.wait_ready("quiet").await), before);
    let names: Vec<String> = fs::read_dir(cockpit.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["state.db.damaged-", "telemetry.db.damaged-"] {
        assert!(
            names.iter().any(|n| n.starts_with(name)),
            "{name} in {names:?}"
        );
    }
}

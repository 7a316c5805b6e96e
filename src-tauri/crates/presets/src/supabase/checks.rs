//! Asking the services of a project themselves: auth, rest, and the database.

use std::time::{Duration, Instant};

use cockpit_model::ServiceSpec;
use cockpit_model::service::Check;

use super::Project;
use crate::around::Env;
use crate::docker::Seen;
use crate::{http, postgres};

/// A proxied answer carries it; one that Kong gave itself does not.
const FROM_UPSTREAM: &str = "x-kong-upstream-latency";

/// `auth`, `rest` and `database`, as far as the project has them, asked at the same time.
pub(super) async fn all(
    spec: &ServiceSpec,
    project: &Project,
    containers: &[Seen],
    env: &Env,
) -> Vec<Check> {
    let base = match &spec.options.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://127.0.0.1:{}", project.api_port),
    };
    let key = api_key(containers);
    let database = spec.options.database.clone().unwrap_or_else(|| {
        // The CLI gives every local database these.
        format!(
            "postgres://postgres:postgres@127.0.0.1:{}/postgres",
            project.db_port
        )
    });
    let auth = async {
        let url = format!("{base}/auth/v1/health");
        (project.api && project.auth).then_some(ask("auth", &url, key).await)
    };
    let rest = async {
        let url = format!("{base}/rest/v1/");
        project.api.then_some(ask("rest", &url, key).await)
    };
    let (auth, rest, database) = tokio::join!(auth, rest, postgres::select_one(&database, env));
    let database = match database {
        Ok(took) => passed("database", took),
        Err(error) => failed("database", error),
    };
    [auth, rest, Some(database)].into_iter().flatten().collect()
}

/// The project's public key, as its own containers have it.
fn api_key(containers: &[Seen]) -> Option<&str> {
    ["SUPABASE_ANON_KEY", "ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"]
        .iter()
        .find_map(|name| containers.iter().find_map(|c| c.variable(name)))
}

async fn ask(name: &str, url: &str, key: Option<&str>) -> Check {
    let began = Instant::now();
    let client = match http::client() {
        Ok(client) => client,
        Err(error) => return failed(name, error),
    };
    let mut request = client.get(url).timeout(http::LIMIT);
    if let Some(key) = key {
        request = request.header("apikey", key);
    }
    match request.send().await {
        Err(e) => failed(name, http::words(e)),
        Ok(answer) => {
            let status = answer.status().as_u16();
            let proxied = answer.headers().contains_key(FROM_UPSTREAM);
            match status {
                200..400 => passed(name, began.elapsed()),
                // Who may read what is not a matter of health: it answers.
                400..500 if proxied => passed(name, began.elapsed()),
                401 | 403 => Check {
                    name: name.to_owned(),
                    ok: None,
                    latency_ms: None,
                    error: Some("the gateway wants an API key that is not known here".to_owned()),
                },
                status => failed(name, format!("it answered {status}")),
            }
        }
    }
}

fn passed(name: &str, took: Duration) -> Check {
    Check {
        name: name.to_owned(),
        ok: Some(true),
        latency_ms: Some(took.as_secs_f64() * 1_000.0),
        error: None,
    }
}

fn failed(name: &str, error: String) -> Check {
    Check {
        name: name.to_owned(),
        ok: Some(false),
        latency_ms: None,
        error: Some(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::supabase::standing::tests::container;
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse as _;
    use axum::routing::get;

    async fn kong() -> String {
        let health = |headers: HeaderMap| async move {
            if headers.get("apikey").is_some_and(|key| key == "anon") {
                (StatusCode::OK, [(FROM_UPSTREAM, "3")]).into_response()
            } else {
                StatusCode::UNAUTHORIZED.into_response()
            }
        };
        let rest = || async { (StatusCode::FORBIDDEN, [(FROM_UPSTREAM, "3")]) };
        let down = || async { StatusCode::SERVICE_UNAVAILABLE };
        let app = Router::new()
            .route("/auth/v1/health", get(health))
            .route("/rest/v1/", get(rest))
            .route("/down", get(down));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        base
    }

    #[tokio::test]
    async fn an_answer_is_told_from_a_gateway_that_speaks_for_itself() {
        http::tests_provider();
        let base = kong().await;
        let auth = format!("{base}/auth/v1/health");
        let well = ask("auth", &auth, Some("anon")).await;
        assert_eq!(well.ok, Some(true));
        assert!(well.latency_ms.is_some_and(|ms| ms > 0.0));
        assert_eq!(ask("auth", &auth, None).await.ok, None);
        let rest = ask("rest", &format!("{base}/rest/v1/"), None).await;
        assert_eq!(rest.ok, Some(true), "upstream answered: {rest:?}");
        let down = ask("rest", &format!("{base}/down"), None).await;
        assert_eq!(down.error.as_deref(), Some("it answered 503"));
        let gone = ask("rest", "http://127.0.0.1:1/", None).await;
        assert_eq!(gone.ok, Some(false));
    }

    #[test]
    fn the_key_comes_from_the_containers() {
        let mut studio = container("studio", "running", None);
        studio.env = vec!["A=b".into(), "SUPABASE_ANON_KEY=eyJ".into()];
        let db = container("db", "running", None);
        assert_eq!(api_key(&[db.clone(), studio]), Some("eyJ"));
        assert_eq!(api_key(&[db]), None);
    }
}

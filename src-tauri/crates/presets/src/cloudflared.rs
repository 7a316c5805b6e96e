//! A Cloudflare tunnel: its version and its connections to the edge.

use std::time::Duration;

use cockpit_model::service::Check;
use cockpit_model::spec::Run;
use cockpit_model::{Detail, ServiceSpec};
use cockpit_platform::command;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::around::Surroundings;
use crate::{Observation, Preset, http};

const LIMIT: Duration = Duration::from_secs(5);

/// The preset of kind `cloudflared`.
pub(crate) struct Cloudflared {
    spec: ServiceSpec,
    around: Surroundings,
    version: OnceCell<Option<String>>,
}

/// `GET /ready` on the metrics address; 200 with connections, 503 without.
#[derive(Deserialize)]
struct Ready {
    #[serde(rename = "readyConnections", default)]
    connections: u64,
}

impl Cloudflared {
    pub(crate) const fn new(spec: ServiceSpec, around: Surroundings) -> Self {
        Self {
            spec,
            around,
            version: OnceCell::const_new(),
        }
    }

    async fn ask_version(&self) -> Option<String> {
        let env = self.around.env_of(&self.spec).await;
        let program = match &self.spec.run {
            Run::Process(line) => line.first().map_or("cloudflared", String::as_str),
            _ => "cloudflared",
        };
        let done = command::run_in(program, &["--version"], &env, None, LIMIT)
            .await
            .ok()?;
        version(&done.stdout)
    }

    async fn look(&self) -> Observation {
        let version = self.version.get_or_init(|| self.ask_version()).await;
        let check = match self.spec.listen.as_deref() {
            Some(listen) => Some(connections(listen).await),
            None => None,
        };
        Observation {
            version: version.clone(),
            detail: check.map(|check| Detail {
                checks: vec![check],
                ..Detail::default()
            }),
            ..Observation::default()
        }
    }
}

async fn connections(listen: &str) -> Check {
    let answer = async {
        let answer = http::client()?
            .get(format!("http://{listen}/ready"))
            .timeout(http::LIMIT)
            .send()
            .await
            .map_err(http::words)?;
        // 503 has the same body: no connections yet.
        answer.json::<Ready>().await.map_err(http::words)
    };
    match answer.await {
        Ok(Ready { connections: 0 }) => Check {
            name: "connections".to_owned(),
            ok: Some(false),
            latency_ms: None,
            error: Some("the tunnel has no connection to Cloudflare".to_owned()),
        },
        Ok(Ready { connections }) => Check {
            name: format!("connections ({connections})"),
            ok: Some(true),
            latency_ms: None,
            error: None,
        },
        Err(error) => Check {
            name: "connections".to_owned(),
            ok: None,
            latency_ms: None,
            error: Some(error),
        },
    }
}

/// `cloudflared version 2025.2.0 (built 2025-02-03-…)`
fn version(text: &str) -> Option<String> {
    text.split_whitespace()
        .skip_while(|word| *word != "version")
        .nth(1)
        .map(str::to_owned)
}

impl Preset for Cloudflared {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        self.look().boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use axum::http::StatusCode;
    use axum::{Json, Router, routing::get};
    use serde_json::json;

    #[test]
    fn the_version() {
        assert_eq!(
            version("cloudflared version 2025.2.0 (built 2025-02-03-1427 UTC)\n").unwrap(),
            "2025.2.0"
        );
        assert_eq!(version(""), None);
    }

    async fn serve(status: StatusCode, ready: u64) -> String {
        let answer = move || async move {
            (
                status,
                Json(json!({"status": status.as_u16(), "readyConnections": ready})),
            )
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new().route("/ready", get(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    #[tokio::test]
    async fn connections_to_the_edge() {
        crate::http::tests_provider();
        let well = connections(&serve(StatusCode::OK, 4).await).await;
        assert_eq!(
            (well.name.as_str(), well.ok),
            ("connections (4)", Some(true))
        );
        let none = connections(&serve(StatusCode::SERVICE_UNAVAILABLE, 0).await).await;
        assert_eq!(none.ok, Some(false));
        assert_eq!(connections("127.0.0.1:1").await.ok, None);
    }
}

//! One HTTP client for all presets: loopback mostly, short limits, no proxy.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Client;
use serde::de::DeserializeOwned;

/// What an answer on this machine may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);

static CLIENT: OnceLock<Option<Client>> = OnceLock::new();

/// The shared client.
///
/// # Errors
/// In words, when none can be built (no TLS provider).
pub(crate) fn client() -> Result<&'static Client, String> {
    CLIENT
        .get_or_init(|| {
            Client::builder()
                // A proxy of the environment has no business between us and this machine.
                .no_proxy()
                .connect_timeout(LIMIT)
                .pool_max_idle_per_host(1)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .inspect_err(|e| tracing::error!("no HTTP client: {e}"))
                .ok()
        })
        .as_ref()
        .ok_or_else(|| "there is no HTTP client".to_owned())
}

/// GETs JSON within [`LIMIT`]; the error in words.
pub(crate) async fn get_json<T: DeserializeOwned>(url: &str) -> Result<T, String> {
    let answer = client()?
        .get(url)
        .timeout(LIMIT)
        .send()
        .await
        .map_err(words)?;
    if !answer.status().is_success() {
        return Err(format!("{url} answered {}", answer.status().as_u16()));
    }
    answer.json().await.map_err(words)
}

/// The innermost cause: "connection refused" says more than "error sending request".
pub fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Tests of whatever uses the client install a TLS provider first, as the engine does.
#[cfg(test)]
pub(crate) fn tests_provider() {
    // The second to come finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

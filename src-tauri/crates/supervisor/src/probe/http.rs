//! `http`: a GET is answered with 2xx or 3xx. One pooled client for all.

use std::error::Error;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use super::tcp::refusal;
use super::without_secrets;

/// The shared client, made when the first http probe asks.
#[derive(Default)]
pub(crate) struct Http {
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Http {
    fn client(&self) -> Result<&reqwest::Client, String> {
        let made = self.client.get_or_init(|| {
            // The engine chose a provider; tests and other programs may not have.
            if rustls::crypto::CryptoProvider::get_default().is_none() {
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
            reqwest::Client::builder()
                .user_agent(concat!("studio-cockpit-probe/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(Duration::from_secs(30))
                .build()
                .map_err(|e| format!("no http client can be made: {e}"))
        });
        made.as_ref().map_err(Clone::clone)
    }

    pub(super) async fn get(&self, url: &str) -> Result<(), String> {
        let answer = self
            .client()?
            .get(url)
            .send()
            .await
            .map_err(|e| why(&e, url))?;
        let status = answer.status();
        if status.is_success() || status.is_redirection() {
            // Read to its end, so that the connection can be used again.
            let _ = answer.bytes().await;
            return Ok(());
        }
        Err(format!(
            "HTTP {} from {}",
            status.as_u16(),
            without_secrets(url)
        ))
    }
}

fn why(error: &reqwest::Error, url: &str) -> String {
    let shown = without_secrets(url);
    let place = shown
        .split_once("://")
        .map_or(shown.as_str(), |(_, rest)| rest);
    let place = place.split('/').next().unwrap_or(place);
    if error.is_builder() {
        return format!("{shown} is not a URL that can be asked");
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return refusal(io, place);
        }
        source = inner.source();
    }
    match error.is_timeout() {
        true => format!("no answer from {place}"),
        false => format!("{place} broke the connection off"),
    }
}

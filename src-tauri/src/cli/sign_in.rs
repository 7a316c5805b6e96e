//! The address that signs a browser in.
//!
//! Whatever opens a browser shows the address to every user of this machine, among its arguments. So
//! it holds no token but a one-time code, in the fragment, which a browser sends to nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cockpit_api::SignInCode;
use cockpit_model::Problem;
use serde_json::json;

use super::client::Client;
use super::folder::DataFolder;

/// The UI's address on the running engine, good for one browser, once, within five minutes.
///
/// # Errors
/// [`cockpit_model::Code::NotRunning`] when no engine runs, [`cockpit_model::Code::Storage`] when it
/// has not written where it listens.
pub async fn address(client: &Client, folder: &DataFolder) -> Result<String, Problem> {
    // Asked first: the file outlives an engine that was killed.
    let made: SignInCode = client.post("/api/sign-in/codes", &json!({})).await?;
    Ok(with_code(folder.read_engine_file()?.listen, &made.code))
}

fn with_code(listen: SocketAddr, code: &str) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    format!("http://{address}/#code={code}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::with_code;

    #[test]
    fn the_address_is_one_a_browser_can_reach() {
        let of = |listen: &str| with_code(listen.parse().unwrap(), "c0");
        assert_eq!(of("127.0.0.1:4700"), "http://127.0.0.1:4700/#code=c0");
        assert_eq!(of("0.0.0.0:4700"), "http://127.0.0.1:4700/#code=c0");
        assert_eq!(of("[::]:4700"), "http://[::1]:4700/#code=c0");
    }
}

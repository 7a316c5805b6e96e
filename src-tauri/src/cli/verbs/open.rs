//! `open`: the UI in the browser, signed in.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cockpit_model::Status;

use crate::cli::args::Common;
use crate::cli::failure::Done;

pub(in crate::cli) async fn open(common: &Common, print_url: bool) -> Done {
    // The files outlive an engine that was killed: only its answer says that it runs.
    let _running: Status = common.client()?.get("/api/status").await?;
    let folder = common.folder()?;
    let engine = folder.read_engine_file()?;
    let url = signed_in(engine.listen, &folder.read_token()?);
    if print_url {
        writeln!(io::stdout(), "{url}")?;
    } else {
        cockpit_platform::open::url(&url).await?;
    }
    Ok(())
}

/// The UI's address with the token in the fragment, which a browser never sends anywhere.
pub(in crate::cli) fn signed_in(listen: SocketAddr, token: &str) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    format!("http://{address}/#token={token}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::signed_in;

    #[test]
    fn the_address_is_one_a_browser_can_reach() {
        let of = |listen: &str| signed_in(listen.parse().unwrap(), "t0");
        assert_eq!(of("127.0.0.1:4700"), "http://127.0.0.1:4700/#token=t0");
        assert_eq!(of("0.0.0.0:4700"), "http://127.0.0.1:4700/#token=t0");
        assert_eq!(of("[::]:4700"), "http://[::1]:4700/#token=t0");
    }
}

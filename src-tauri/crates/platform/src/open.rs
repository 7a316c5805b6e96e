//! Opening a URL in the person's browser.

use std::time::Duration;

use cockpit_model::{Code, Problem};

use crate::command;

#[cfg(target_os = "macos")]
const OPENER: &str = "/usr/bin/open";
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";

/// Opens an `http://` or `https://` URL. Returns when the browser has been told.
///
/// # Errors
/// [`Code::BadRequest`] for anything but http and https (a file, an application's scheme),
/// [`Code::NotSupported`] where there is no browser; the URL is then in the remedy.
pub async fn url(url: &str) -> Result<(), Problem> {
    if !is_web(url) {
        return Err(Problem::new(
            Code::BadRequest,
            "only http and https addresses are opened",
        ));
    }
    let cannot = |detail: String| {
        Problem::new(Code::NotSupported, "no browser could be opened")
            .detail(detail)
            .remedy("open the address that `studio-cockpit open --print-url` prints")
    };
    match command::run(OPENER, &[url], Duration::from_secs(10)).await {
        Ok(done) if done.ok => Ok(()),
        Ok(done) => Err(cannot(done.complaint())),
        Err(e) => Err(cannot(e.to_string())),
    }
}

fn is_web(url: &str) -> bool {
    let after = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    after.is_some_and(|rest| {
        !rest.is_empty() && !url.chars().any(|c| c.is_whitespace() || c.is_control())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web() {
        assert!(is_web("http://127.0.0.1:4700/#code=abc"));
        assert!(is_web("https://example.com/"));
        for bad in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://",
            "-a Terminal",
            "http://a b",
            "",
        ] {
            assert!(!is_web(bad), "{bad}");
        }
    }
}

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_provider_is_told_its_host_as_its_own_clients_tell_it() {
    let cases = [
        ("https://api.openai.com/v1", "api.openai.com", "/v1"),
        // The usual port is not said …
        ("https://api.openai.com:443/v1/", "api.openai.com", "/v1"),
        ("http://studio.local:80", "studio.local", ""),
        ("http://[::1]:80", "[::1]", ""),
        // … but any other is, among them the other scheme's.
        ("http://studio.local:443", "studio.local:443", ""),
        ("https://studio.local:80", "studio.local:80", ""),
        ("http://127.0.0.1:11434", "127.0.0.1:11434", ""),
        ("http://[::1]:11434", "[::1]:11434", ""),
        // Nobody's name and password.
        ("http://ada@studio.local", "studio.local", ""),
        (
            "http://ada:p%40ss@studio.local:8080/v1",
            "studio.local:8080",
            "/v1",
        ),
        ("https://ada:secret@studio.local:443", "studio.local", ""),
    ];
    for (base_url, told, under) in cases {
        let (_, host, path) = place_of(base_url).unwrap();
        assert_eq!(
            (host.to_str().unwrap(), path.as_str()),
            (told, under),
            "{base_url}"
        );
    }
    for base_url in ["", "studio.local", "/v1", "http://"] {
        assert!(place_of(base_url).is_none(), "{base_url}");
    }
}

#[test]
fn whoever_listens_where_a_provider_is_asked_is_that_provider() {
    let cases = [
        ("http://127.0.0.1:8000/v1", "127.0.0.1:8000", true),
        ("http://localhost:8000", "127.0.0.1:8000", true),
        ("http://[::1]:8000/v1", "0.0.0.0:8000", true),
        ("http://localhost", "127.0.0.1:80", true),
        ("http://127.0.0.1:8000", "127.0.0.1:8001", false),
        ("http://studio.local:8000", "127.0.0.1:8000", false),
        ("https://api.openai.com/v1", "127.0.0.1:443", false),
        ("http://127.0.0.1:8000", "nowhere", false),
    ];
    for (base_url, listen, wanted) in cases {
        let (origin, ..) = place_of(base_url).unwrap();
        assert_eq!(is_at(&origin, listen), wanted, "{base_url} {listen}");
    }
}

//! The demo stack: an ordinary `cockpit.toml` whose services are doubles.

use std::path::Path;

/// How many free ports [`demo_toml`] takes: the cockpit's own, Ollama's, the database's, the
/// API's, the worker's.
pub const DEMO_PORTS: usize = 5;

/// The first line of every demo's `cockpit.toml`.
const HEADER: &str =
    "# The demo stack of Studio Cockpit: doubles of what usually runs on such a machine.";

/// Whether a `cockpit.toml` is one that [`demo_toml`] made.
pub fn is_demo_toml(text: &str) -> bool {
    text.starts_with(HEADER)
}

/// The demo's `cockpit.toml`.
///
/// `exe` is the `studio-cockpit` executable, `ports` are [`DEMO_PORTS`] free ports, in the order
/// named there. A port that is not given keeps the port such a service usually has.
pub fn demo_toml(exe: &Path, ports: &[u16]) -> String {
    let port = |index: usize, usual: u16| ports.get(index).copied().unwrap_or(usual);
    let cockpit = port(0, 4700);
    let ollama = port(1, 11434);
    let database = port(2, 5432);
    let api = port(3, 3000);
    let worker = port(4, 3001);
    // A JSON string is a TOML basic string.
    let exe = serde_json::Value::String(exe.to_string_lossy().into_owned());
    format!(
        r#"{HEADER}
# Break one and watch it being mended:
#   curl -X POST http://127.0.0.1:{api}/_fault -H 'content-type: application/json' -d '{{"kind":"hang","for_ms":20000}}'
# The kinds: hang, error, crash, slow, flap, leak.

[cockpit]
listen = "127.0.0.1:{cockpit}"

[services.ollama]
kind = "ollama"
command = [{exe}, "simulate", "ollama", "--port", "{{port}}"]
listen = "127.0.0.1:{ollama}"
models = ["llama3.2"]

[services.database]
command = [{exe}, "simulate", "database", "--port", "{{port}}", "--ready-after", "800ms"]
listen = "127.0.0.1:{database}"
ready = {{ tcp = "127.0.0.1:{{port}}", every = "2s", timeout = "1s" }}
stop = {{ signal = "SIGINT", grace = "10s" }}

[services.api]
command = [{exe}, "simulate", "http", "--port", "{{port}}", "--model-server", "{ollama}", "--ready-after", "1500ms"]
listen = "127.0.0.1:{api}"
depends_on = ["database", "ollama"]
ready = {{ http = "http://127.0.0.1:{{port}}/health", every = "2s", timeout = "1s", failures = 3, successes = 2 }}
live = {{ http = "http://127.0.0.1:{{port}}/health", every = "3s", timeout = "2s", failures = 3 }}

[services.worker]
command = [{exe}, "simulate", "worker", "--port", "{{port}}", "--api", "{api}"]
listen = "127.0.0.1:{worker}"
depends_on = ["api"]
ready = {{ log = "worker ready" }}

[services.website]
kind = "url"
url = "http://127.0.0.1:{api}/"
depends_on = ["api"]
"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_given_port_is_used_and_the_path_is_quoted() {
        let toml = demo_toml(
            Path::new("/a \"b\"/studio-cockpit"),
            &[1111, 2222, 3333, 4444, 5555],
        );
        for port in ["1111", "2222", "3333", "4444", "5555"] {
            assert!(
                toml.contains(&format!("\"127.0.0.1:{port}\"")),
                "{port} in {toml}"
            );
        }
        assert!(is_demo_toml(&toml) && !is_demo_toml("[services.api]\n"));
        assert!(toml.contains(r#"["/a \"b\"/studio-cockpit", "simulate""#));
    }
}

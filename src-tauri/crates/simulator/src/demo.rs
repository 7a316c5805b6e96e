//! The demo stack: an ordinary `cockpit.toml` whose services are doubles.

use std::path::Path;

/// How many free ports [`demo_toml`] takes: the cockpit's own, Ollama's, the database's, the
/// API's, the worker's, the gateway's, `OpenAI`'s, Anthropic's, the applications'.
pub const DEMO_PORTS: usize = 9;

/// What the demo's `cockpit.toml` is made of besides ports.
#[derive(Debug, Clone, Copy)]
pub struct Demo<'a> {
    /// The `studio-cockpit` executable.
    pub exe: &'a Path,
    /// The file with the cockpit's token.
    pub token_file: &'a Path,
    /// The file with the key of the demo's applications.
    pub key_file: &'a Path,
    /// The file with the key that the vendors' doubles are shown.
    pub vendor_key_file: &'a Path,
}

/// The first line of every demo's `cockpit.toml`.
const HEADER: &str =
    "# The demo stack of Studio Cockpit: doubles of what usually runs on such a machine.";

/// Whether a `cockpit.toml` is one that [`demo_toml`] made.
pub fn is_demo_toml(text: &str) -> bool {
    text.starts_with(HEADER)
}

/// The demo's `cockpit.toml`.
///
/// `ports` are [`DEMO_PORTS`] free ports, in the order named there. A port that is not given keeps the
/// port such a service usually has.
pub fn demo_toml(demo: Demo<'_>, ports: &[u16]) -> String {
    let port = |index: usize, usual: u16| ports.get(index).copied().unwrap_or(usual);
    let cockpit = port(0, 4700);
    let ollama = port(1, 11434);
    let database = port(2, 5432);
    let api = port(3, 3000);
    let worker = port(4, 3001);
    let gateway = port(5, 11435);
    let openai = port(6, 4701);
    let anthropic = port(7, 4702);
    let traffic = port(8, 3002);
    // A JSON string is a TOML basic string.
    let quoted = |path: &Path| serde_json::Value::String(path.to_string_lossy().into_owned());
    let (exe, token_file) = (quoted(demo.exe), quoted(demo.token_file));
    let (key_file, vendor_key_file) = (quoted(demo.key_file), quoted(demo.vendor_key_file));
    format!(
        r#"{HEADER}
# Break one and watch it being mended:
#   curl -X POST http://127.0.0.1:{api}/_fault -H 'content-type: application/json' -d '{{"kind":"hang","for_ms":20000}}'
# The kinds: hang, error, crash, slow, flap, leak.
# A provider of models, so that its breaker opens and others take over:
#   curl -X POST http://127.0.0.1:{openai}/_fault -H 'content-type: application/json' -d '{{"kind":"status","status":503,"for_ms":60000}}'
# The applications order such faults by themselves now and then.

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

[services.openai]
command = [{exe}, "simulate", "openai", "--port", "{{port}}", "--quiet"]
listen = "127.0.0.1:{openai}"
ready = {{ tcp = "127.0.0.1:{{port}}", every = "5s" }}

[services.anthropic]
command = [{exe}, "simulate", "anthropic", "--port", "{{port}}", "--quiet"]
listen = "127.0.0.1:{anthropic}"
ready = {{ tcp = "127.0.0.1:{{port}}", every = "5s" }}

[services.apps]
command = [{exe}, "simulate", "traffic", "--port", "{{port}}", "--gateway", "{gateway}", "--key-file", {key_file}, "--cockpit", "{cockpit}", "--token-file", {token_file}, "--openai", "{openai}", "--anthropic", "{anthropic}"]
listen = "127.0.0.1:{traffic}"
depends_on = ["ollama", "openai", "anthropic"]
ready = {{ http = "http://127.0.0.1:{{port}}/health", every = "5s" }}

[services.website]
kind = "url"
url = "http://127.0.0.1:{api}/"
depends_on = ["api"]

# The vendors are not named as services of this machine, which they are here: what runs here costs nothing.
[gateway]
listen = "127.0.0.1:{gateway}"

[providers.openai]
kind = "openai"
base_url = "http://127.0.0.1:{openai}/v1"
api_key = {{ file = {vendor_key_file} }}

[providers.anthropic]
kind = "anthropic"
base_url = "http://127.0.0.1:{anthropic}"
api_key = {{ file = {vendor_key_file} }}

[routes.chat]
targets = ["openai/gpt-4o", "openai/gpt-4o-mini", "ollama/llama3.2"]

[routes.writer]
targets = ["anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5", "ollama/llama3.2"]

[keys.demo]
secret = {{ file = {key_file} }}
limits = {{ requests_per_minute = 300 }}

[budgets]
daily_usd = 10
monthly_usd = 200
"#
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_given_port_is_used_and_the_path_is_quoted() {
        let demo = Demo {
            exe: Path::new("/a \"b\"/studio-cockpit"),
            token_file: Path::new("/d/token"),
            key_file: Path::new("/d/demo-key"),
            vendor_key_file: Path::new("/d/vendor-key"),
        };
        let toml = demo_toml(
            demo,
            &[1111, 2222, 3333, 4444, 5555, 6666, 7777, 8888, 9999],
        );
        for port in [
            "1111", "2222", "3333", "4444", "5555", "6666", "7777", "8888", "9999",
        ] {
            assert!(
                toml.contains(&format!("\"127.0.0.1:{port}\"")),
                "{port} in {toml}"
            );
        }
        assert!(is_demo_toml(&toml) && !is_demo_toml("[services.api]\n"));
        assert!(toml.contains(r#"["/a \"b\"/studio-cockpit", "simulate""#));
    }
}

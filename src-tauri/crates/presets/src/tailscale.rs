//! Tailscale on this machine: whether it is up, under which name, and what it complains about.

use std::time::Duration;

use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::service::Check;
use cockpit_model::{Code, Detail, Owner, Problem, ServiceSpec};
use cockpit_platform::command::{self, Output, RunError};
use cockpit_platform::environment::find_program;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Deserialize;

use crate::around::{Env, Surroundings};
use crate::{Observation, Preset};

const STATUS: Duration = Duration::from_secs(5);
/// `tailscale up` waits for the network, and for a person when a login is due.
const UP: Duration = Duration::from_secs(60);
/// The Mac application brings the command line inside.
const IN_APP: &str = "/Applications/Tailscale.app/Contents/MacOS/Tailscale";

/// The preset of kind `tailscale`.
pub(crate) struct Tailscale {
    spec: ServiceSpec,
    around: Surroundings,
}

/// `tailscale status --json`, the part that matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    version: String,
    #[serde(default)]
    backend_state: String,
    #[serde(rename = "AuthURL", default)]
    auth_url: String,
    #[serde(rename = "Self")]
    this: Option<This>,
    /// Null when there is nothing to say.
    #[serde(default)]
    health: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct This {
    #[serde(rename = "DNSName", default)]
    dns_name: String,
    #[serde(default)]
    online: bool,
}

impl Tailscale {
    pub(crate) const fn new(spec: ServiceSpec, around: Surroundings) -> Self {
        Self { spec, around }
    }

    async fn run(&self, args: &[&str], limit: Duration) -> Result<Output, RunError> {
        let env = self.around.env_of(&self.spec).await;
        command::run_in(program(&env), args, &env, None, limit).await
    }

    async fn look(&self) -> Observation {
        match self.run(&["status", "--json"], STATUS).await {
            // It exits with 1 when it is down, and still tells.
            Ok(done) => match serde_json::from_str::<Status>(&done.stdout) {
                Ok(status) => read(&status),
                Err(_) => not_ready(
                    done.complaint(),
                    if cfg!(target_os = "macos") {
                        "open -a Tailscale"
                    } else {
                        "sudo systemctl start tailscaled"
                    },
                ),
            },
            Err(e @ RunError::Missing(_)) => not_ready(
                e.to_string(),
                "install it from https://tailscale.com/download",
            ),
            Err(e) => not_ready(e.to_string(), "tailscale status"),
        }
    }

    async fn drive(&self, verb: &str, limit: Duration) -> Result<(), Problem> {
        let failed = |detail: String| {
            Problem::new(Code::ActionFailed, format!("`tailscale {verb}` failed"))
                .detail(detail)
                .remedy(format!("run `tailscale {verb}` in a terminal"))
        };
        match self.run(&[verb], limit).await {
            Ok(done) if done.ok => Ok(()),
            Ok(done) => Err(failed(done.complaint())),
            Err(e @ RunError::Missing(_)) => Err(Problem::new(Code::CommandMissing, e.to_string())
                .remedy("install it from https://tailscale.com/download")),
            Err(e) => Err(failed(e.to_string())),
        }
    }
}

fn program(env: &Env) -> &'static str {
    if find_program("tailscale", env).is_none() && std::path::Path::new(IN_APP).exists() {
        IN_APP
    } else {
        "tailscale"
    }
}

fn not_ready(cause: String, remedy: &str) -> Observation {
    Observation {
        ready: Some(Err(cause)),
        owner: Some(Owner::Other),
        owner_detail: Some("tailscaled".to_owned()),
        detail: Some(Detail {
            remedy: Some(remedy.to_owned()),
            ..Detail::default()
        }),
        ..Observation::default()
    }
}

/// What a status means.
fn read(status: &Status) -> Observation {
    let name = status
        .this
        .as_ref()
        .map(|this| this.dns_name.trim_end_matches('.').to_owned())
        .filter(|name| !name.is_empty());
    let online = status.this.as_ref().is_some_and(|this| this.online);
    let mut seen = match status.backend_state.as_str() {
        "Running" => Observation {
            ready: Some(Ok(())),
            owner: Some(Owner::Other),
            detail: Some(Detail::default()),
            ..Observation::default()
        },
        "Stopped" => not_ready("Tailscale is switched off".to_owned(), "tailscale up"),
        "NeedsLogin" => {
            let remedy = if status.auth_url.is_empty() {
                "tailscale login".to_owned()
            } else {
                format!("log in at {}", status.auth_url)
            };
            not_ready("Tailscale needs a login".to_owned(), &remedy)
        }
        "NeedsMachineAuth" => not_ready(
            "this machine waits to be approved in the tailnet".to_owned(),
            "approve it at https://login.tailscale.com/admin/machines",
        ),
        "Starting" | "NoState" => not_ready("Tailscale is starting".to_owned(), "wait a moment"),
        other => not_ready(
            format!("Tailscale is in the state {other}"),
            "tailscale status",
        ),
    };
    seen.version = status
        .version
        .split('-')
        .next()
        .filter(|version| !version.is_empty())
        .map(str::to_owned);
    seen.owner_detail = Some(match name {
        Some(name) => format!("tailscaled, as {name}"),
        None => "tailscaled".to_owned(),
    });
    if let Some(detail) = &mut seen.detail {
        if status.backend_state == "Running" {
            detail.checks.push(Check {
                name: "online".to_owned(),
                ok: Some(online),
                latency_ms: None,
                error: (!online).then(|| "the tailnet does not see this machine".to_owned()),
            });
        }
        detail
            .checks
            .extend(status.health.iter().flatten().map(|warning| Check {
                name: "health".to_owned(),
                ok: Some(false),
                latency_ms: None,
                error: Some(warning.clone()),
            }));
    }
    seen
}

fn no_logs(spec: &ServiceSpec) -> Problem {
    Problem::new(
        Code::NotSupported,
        format!("there are no logs of {} to read", spec.name),
    )
    .detail("tailscaled writes to the system's own log")
    .remedy(if cfg!(target_os = "macos") {
        "look at it with Console.app"
    } else {
        "look at it with `journalctl -u tailscaled`"
    })
}

impl Preset for Tailscale {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn up(&self) -> BoxFuture<'_, Result<(), Problem>> {
        self.drive("up", UP).boxed()
    }

    fn down(&self) -> BoxFuture<'_, Result<(), Problem>> {
        self.drive("down", STATUS).boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        self.look().boxed()
    }

    fn logs(&self, _: LogQuery) -> BoxFuture<'_, Result<Vec<LogLine>, Problem>> {
        futures_util::future::ready(Err(no_logs(&self.spec))).boxed()
    }

    fn follow(&self, _: LogQuery) -> BoxFuture<'_, Result<BoxStream<'static, LogLine>, Problem>> {
        futures_util::future::ready(Err(no_logs(&self.spec))).boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::around::doubles::{around_with, spec};
    use cockpit_model::spec::Kind;
    use std::os::unix::fs::PermissionsExt as _;

    fn status(json: &str) -> Observation {
        read(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn up_and_seen() {
        let seen = status(
            r#"{"Version":"1.80.2-tabc-g123","BackendState":"Running","AuthURL":"",
                "Self":{"ID":"n1","DNSName":"studio.tail1234.ts.net.","Online":true},"Health":null,"Peer":{}}"#,
        );
        assert_eq!(seen.ready, Some(Ok(())));
        assert_eq!(seen.version.as_deref(), Some("1.80.2"));
        assert_eq!(
            seen.owner_detail.as_deref(),
            Some("tailscaled, as studio.tail1234.ts.net")
        );
        assert_eq!(seen.detail.unwrap().checks.first().unwrap().ok, Some(true));
    }

    #[test]
    fn every_other_state_has_a_cause_and_a_remedy() {
        for (state, cause) in [
            ("Stopped", "switched off"),
            ("NeedsLogin", "login"),
            ("NeedsMachineAuth", "approved"),
            ("Starting", "starting"),
            ("Strange", "Strange"),
        ] {
            let seen = status(&format!(r#"{{"BackendState":"{state}","Health":["w"]}}"#));
            let said = seen.ready.unwrap().unwrap_err();
            assert!(said.contains(cause), "{state}: {said}");
            let detail = seen.detail.unwrap();
            assert!(detail.remedy.is_some());
            assert_eq!(detail.checks.first().unwrap().error.as_deref(), Some("w"));
        }
    }

    #[tokio::test]
    async fn the_command_line_is_driven() {
        let folder = tempfile::tempdir().unwrap();
        let cli = folder.path().join("tailscale");
        let log = folder.path().join("asked");
        std::fs::write(
            &cli,
            format!(
                "#!/bin/sh\necho \"$@\" >> {}\ncase $1 in\n\
                 up) ;;\n down) echo 'access denied' >&2; exit 1 ;;\n\
                 status) echo '{{\"BackendState\":\"Stopped\"}}'; exit 1 ;;\nesac\n",
                log.display()
            ),
        )
        .unwrap();
        std::fs::set_permissions(&cli, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let here = around_with([("PATH".to_owned(), path)].into(), None, None);
        let preset = Tailscale::new(spec("tailscale", Kind::Tailscale), here);
        preset.up().await.unwrap();
        let problem = preset.down().await.unwrap_err();
        assert_eq!(problem.detail.as_deref(), Some("access denied"));
        let seen = preset.inspect().await;
        assert!(seen.ready.unwrap().unwrap_err().contains("switched off"));
        assert_eq!(
            std::fs::read_to_string(&log).unwrap(),
            "up\ndown\nstatus --json\n"
        );
    }

    #[tokio::test]
    async fn not_installed_is_named() {
        let here = around_with(
            [("PATH".to_owned(), "/nowhere".to_owned())].into(),
            None,
            None,
        );
        let preset = Tailscale::new(spec("tailscale", Kind::Tailscale), here);
        assert_eq!(preset.up().await.unwrap_err().code, Code::CommandMissing);
        assert!(preset.inspect().await.ready.unwrap().is_err());
    }
}

//! Where the Docker engine is: `DOCKER_HOST`, else the Docker context, else the usual sockets.
//!
//! Desktop, Colima, OrbStack and Rancher each have their own socket, and a fixed path finds the
//! wrong one or none. What a person chose (a host, a context) is the only candidate then: another
//! engine that happens to run would show other containers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(PathBuf),
    /// `http://…` or `tcp://…`
    Tcp(String),
    /// ssh, TLS: not asked from here.
    Unsupported(String),
}

impl Endpoint {
    fn parse(host: &str) -> Self {
        if let Some(path) = host.strip_prefix("unix://") {
            return Self::Unix(PathBuf::from(path));
        }
        if host.starts_with("tcp://") || host.starts_with("http://") {
            return Self::Tcp(host.to_owned());
        }
        Self::Unsupported(host.to_owned())
    }

    /// How to start the engine behind it.
    pub(super) fn remedy(&self) -> String {
        let Self::Unix(path) = self else {
            return format!("start the Docker engine at {self}");
        };
        let path = path.to_string_lossy();
        let mac = cfg!(target_os = "macos");
        let start = if path.contains("/.colima/") {
            "colima start"
        } else if path.contains("/.orbstack/") {
            "open -a OrbStack"
        } else if path.contains("/.rd/") {
            "open -a 'Rancher Desktop'"
        } else if mac {
            "open -a Docker"
        } else if path.contains("/.docker/desktop/") {
            "systemctl --user start docker-desktop"
        } else if path.starts_with("/run/user/") {
            "systemctl --user start docker"
        } else {
            "sudo systemctl start docker"
        };
        format!("start it: {start}")
    }

    /// Whether something of it is on this machine: its socket, or the folder in the person's home
    /// that its product keeps the socket in.
    pub(super) fn is_installed(&self) -> bool {
        let Self::Unix(path) = self else {
            return true;
        };
        let of_the_system = path.starts_with("/run") || path.starts_with("/var/run");
        path.exists() || (!of_the_system && path.parent().is_some_and(Path::is_dir))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(host) | Self::Unsupported(host) => write!(f, "{host}"),
        }
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: BTreeMap<String, MetaEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetaEndpoint {
    host: Option<String>,
}

/// The candidates, best first; at least one.
pub(super) fn endpoints(env: &BTreeMap<String, String>, home: Option<&Path>) -> Vec<Endpoint> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    if let Some(host) = set("DOCKER_HOST") {
        return vec![Endpoint::parse(host)];
    }
    let folder = set("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(home?.join(".docker")));
    let context = set("DOCKER_CONTEXT").cloned().or_else(|| {
        let text = std::fs::read_to_string(folder.as_ref()?.join("config.json")).ok()?;
        serde_json::from_str::<Config>(&text).ok()?.current
    });
    if let Some(context) = context.filter(|c| !c.is_empty() && c != "default")
        && let Some(folder) = &folder
        && let Some(host) = host_of(&folder.join("contexts/meta"), &context)
    {
        return vec![Endpoint::parse(&host)];
    }
    let mut usual = vec![PathBuf::from("/var/run/docker.sock")];
    if let Some(home) = home {
        usual.extend(
            [
                ".docker/run/docker.sock",
                ".docker/desktop/docker.sock",
                ".colima/default/docker.sock",
                ".orbstack/run/docker.sock",
                ".rd/docker.sock",
            ]
            .map(|path| home.join(path)),
        );
    }
    if let Some(runtime) = set("XDG_RUNTIME_DIR") {
        usual.push(Path::new(runtime).join("docker.sock"));
    }
    usual.into_iter().map(Endpoint::Unix).collect()
}

/// A context is a folder named by a hash, with its name inside.
fn host_of(contexts: &Path, name: &str) -> Option<String> {
    std::fs::read_dir(contexts)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("meta.json")).ok())
        .filter_map(|text| serde_json::from_str::<Meta>(&text).ok())
        .find(|meta| meta.name == name)?
        .endpoints
        .get("docker")?
        .host
        .clone()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn context(home: &Path, name: &str, host: &str) {
        let folder = home.join(".docker/contexts/meta").join("0a1b2c");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("meta.json"),
            format!(
                r#"{{"Name":"{name}","Metadata":{{"Description":"x"}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
            ),
        )
        .unwrap();
    }

    #[test]
    fn a_chosen_host_is_the_only_one() {
        let home = tempfile::tempdir().unwrap();
        context(home.path(), "colima", "unix:///x.sock");
        let of = |host: &str| endpoints(&env(&[("DOCKER_HOST", host)]), Some(home.path()));
        assert_eq!(
            of("unix:///run/d.sock"),
            [Endpoint::Unix("/run/d.sock".into())]
        );
        assert_eq!(
            of("tcp://127.0.0.1:2375"),
            [Endpoint::Tcp("tcp://127.0.0.1:2375".into())]
        );
        assert_eq!(of("ssh://mac"), [Endpoint::Unsupported("ssh://mac".into())]);
    }

    #[test]
    fn the_current_context_then_the_usual_places() {
        let home = tempfile::tempdir().unwrap();
        let socket = "/Users/me/.colima/default/docker.sock";
        context(home.path(), "colima", &format!("unix://{socket}"));
        std::fs::write(
            home.path().join(".docker/config.json"),
            r#"{"auths":{},"currentContext":"colima"}"#,
        )
        .unwrap();
        let found = endpoints(&env(&[]), Some(home.path()));
        assert_eq!(found, [Endpoint::Unix(socket.into())]);
        assert_eq!(found.first().unwrap().remedy(), "start it: colima start");

        let chosen = endpoints(&env(&[("DOCKER_CONTEXT", "default")]), Some(home.path()));
        assert_eq!(
            chosen.first(),
            Some(&Endpoint::Unix("/var/run/docker.sock".into()))
        );
        assert!(chosen.contains(&Endpoint::Unix(
            home.path().join(".orbstack/run/docker.sock")
        )));
        std::fs::write(home.path().join(".docker/config.json"), "not json").unwrap();
        assert!(endpoints(&env(&[]), Some(home.path())).len() > 1);
    }

    #[test]
    fn remedies_by_product() {
        let of = |path: &str| Endpoint::Unix(path.into()).remedy();
        assert!(of("/Users/me/.orbstack/run/docker.sock").ends_with("open -a OrbStack"));
        if cfg!(target_os = "macos") {
            assert!(of("/var/run/docker.sock").ends_with("open -a Docker"));
        } else {
            assert!(of("/var/run/docker.sock").ends_with("sudo systemctl start docker"));
        }
    }
}

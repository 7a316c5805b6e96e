//! Node.js: which Node, and which package.

use std::path::Path;
use std::time::Duration;

use cockpit_model::ServiceSpec;
use cockpit_model::spec::Run;
use cockpit_platform::command;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::around::Surroundings;
use crate::{Observation, Preset};

const LIMIT: Duration = Duration::from_secs(5);

/// The preset of kind `node`.
pub(crate) struct Node {
    spec: ServiceSpec,
    around: Surroundings,
    /// Asked once per start: a process for every look would cost more than all other looks.
    version: Mutex<Option<Option<String>>>,
}

impl Node {
    pub(crate) const fn new(spec: ServiceSpec, around: Surroundings) -> Self {
        Self {
            spec,
            around,
            version: Mutex::const_new(None),
        }
    }

    async fn version(&self) -> Option<String> {
        let mut known = self.version.lock().await;
        if let Some(version) = known.as_ref() {
            return version.clone();
        }
        let version = self.ask().await;
        *known = Some(version.clone());
        version
    }

    /// `Node 22.12.1, api 1.4.0`
    async fn ask(&self) -> Option<String> {
        let env = self.around.env_of(&self.spec).await;
        // The service may name its own node; npm, pnpm and the like run the one on the PATH.
        let program = match &self.spec.run {
            Run::Process(line) => line
                .first()
                .filter(|first| Path::new(first).file_name().is_some_and(|n| n == "node"))
                .map_or("node", String::as_str),
            _ => "node",
        };
        let cwd = self.spec.cwd.as_deref();
        let node = command::run_in(program, &["--version"], &env, cwd, LIMIT)
            .await
            .ok()
            .filter(|done| done.ok)
            .map(|done| format!("Node {}", done.stdout.trim().trim_start_matches('v')));
        let package = cwd.and_then(package);
        match (node, package) {
            (Some(node), Some(package)) => Some(format!("{node}, {package}")),
            (node, package) => node.or(package),
        }
    }
}

#[derive(Deserialize)]
struct Package {
    name: Option<String>,
    version: Option<String>,
}

/// `api 1.4.0` of the folder's package.json.
fn package(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("package.json")).ok()?;
    let package: Package = serde_json::from_str(&text).ok()?;
    let name = package.name?;
    Some(match package.version {
        Some(version) => format!("{name} {version}"),
        None => name,
    })
}

impl Preset for Node {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        async {
            Observation {
                version: self.version().await,
                ..Observation::default()
            }
        }
        .boxed()
    }

    fn after_ready(&self) -> BoxFuture<'_, ()> {
        // A restart may have come with a new Node or a new release.
        async { *self.version.lock().await = None }.boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::around::doubles::{around_with, spec};
    use cockpit_model::spec::Kind;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn node_and_package_asked_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("node");
        let write = |version: &str| {
            std::fs::write(&node, format!("#!/bin/sh\necho {version}\n")).unwrap();
            std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("v22.12.1");
        std::fs::write(
            folder.path().join("package.json"),
            r#"{"name":"api","version":"1.4.0"}"#,
        )
        .unwrap();
        let mut spec = spec("api", Kind::Node);
        spec.run = Run::Process(vec!["npm".into(), "start".into()]);
        spec.cwd = Some(folder.path().into());
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let env = [("PATH".to_owned(), path)].into();
        let preset = Node::new(spec, around_with(env, None, None));
        let version = preset.inspect().await.version;
        assert_eq!(version.as_deref(), Some("Node 22.12.1, api 1.4.0"));
        write("v23.0.0");
        assert_eq!(preset.inspect().await.version, version, "asked once");
        preset.after_ready().await;
        assert_eq!(
            preset.inspect().await.version.unwrap(),
            "Node 23.0.0, api 1.4.0"
        );
    }

    #[test]
    fn a_broken_package_is_no_package() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(package(folder.path()), None);
        std::fs::write(folder.path().join("package.json"), "{").unwrap();
        assert_eq!(package(folder.path()), None);
    }
}

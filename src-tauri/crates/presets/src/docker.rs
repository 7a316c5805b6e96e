//! The Docker engine: the containers of a service, what they do, what they wrote.

mod logs;
pub(crate) use logs::short_name;
mod socket;

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker as Client;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use cockpit_model::service::Container;
use cockpit_model::{Code, Problem, Timestamp};
use cockpit_platform::environment::find_program;
use futures_util::StreamExt as _;

use crate::around::Surroundings;
use socket::Endpoint;

/// A Docker engine that answers does so within milliseconds.
const PING: Duration = Duration::from_secs(2);
/// Seconds for anything but a stream.
const ANSWER_SECONDS: u64 = 10;
/// Inspections under way at once.
const AT_ONCE: usize = 4;

/// A connection to the engine that this person's `docker` would talk to. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    client: Client,
}

/// A container as a preset needs it: what is shown, and what is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// What is shown of it.
    pub view: Container,
    /// Its environment; may hold secrets, never shown.
    pub(crate) env: Vec<String>,
}

impl Seen {
    /// Whether it runs (a paused one does not).
    pub(crate) fn runs(&self) -> bool {
        self.view.state == "running"
    }

    /// A variable of its environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
    }
}

/// Connects to the engine of the Docker context, and makes sure that it answers.
///
/// # Errors
/// [`Code::DockerNotRunning`] with the remedy that fits this machine.
pub async fn connect(around: &Surroundings) -> Result<Engine, Problem> {
    let env = around.env().await;
    let home = around.home().map(std::path::PathBuf::as_path);
    let endpoints = socket::endpoints(&env, home);
    let mut last = None;
    for endpoint in &endpoints {
        match try_endpoint(endpoint).await {
            Ok(engine) => return Ok(engine),
            Err(e) => {
                // A socket that is there says more than the ones that are not.
                let absent = matches!(e, Failure::Absent);
                if last.is_none() || !absent {
                    last = Some((endpoint, e));
                }
            }
        }
    }
    let installed =
        find_program("docker", &env).is_some() || endpoints.iter().any(Endpoint::is_installed);
    Err(not_running(last, installed))
}

enum Failure {
    /// There is no socket.
    Absent,
    /// There is one and we may not use it.
    Denied,
    /// Something else, in words.
    Other(String),
}

async fn try_endpoint(endpoint: &Endpoint) -> Result<Engine, Failure> {
    let client = match endpoint {
        Endpoint::Unix(path) => {
            if let Err(e) = tokio::net::UnixStream::connect(path).await {
                return Err(match e.kind() {
                    std::io::ErrorKind::NotFound => Failure::Absent,
                    std::io::ErrorKind::PermissionDenied => Failure::Denied,
                    // What an engine that ended leaves behind.
                    _ => Failure::Other(format!("{}: {e}", path.display())),
                });
            }
            Client::connect_with_unix(
                &path.to_string_lossy(),
                ANSWER_SECONDS,
                bollard::API_DEFAULT_VERSION,
            )
        }
        Endpoint::Tcp(address) => {
            Client::connect_with_http(address, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION)
        }
        Endpoint::Unsupported(address) => {
            return Err(Failure::Other(format!(
                "the Docker endpoint {address} is not one that can be asked from here"
            )));
        }
    };
    let client = client.map_err(|e| Failure::Other(e.to_string()))?;
    let answered = tokio::time::timeout(PING, async {
        // Older engines refuse a newer version of the API than their own.
        let client = client.negotiate_version().await?;
        client.ping().await?;
        Ok::<_, Error>(client)
    })
    .await;
    match answered {
        Ok(Ok(client)) => Ok(Engine { client }),
        Ok(Err(e)) => Err(Failure::Other(e.to_string())),
        Err(_) => Err(Failure::Other("it does not answer".to_owned())),
    }
}

fn not_running(last: Option<(&Endpoint, Failure)>, installed: bool) -> Problem {
    let problem = Problem::new(Code::DockerNotRunning, "Docker is not running");
    if !installed {
        return Problem::new(Code::DockerNotRunning, "Docker is not installed").remedy(
            if cfg!(target_os = "macos") {
                "install Docker Desktop, OrbStack or Colima"
            } else {
                "install docker.io (`sudo apt install docker.io`)"
            },
        );
    }
    match last {
        Some((endpoint, Failure::Denied)) => Problem::new(
            Code::DockerNotRunning,
            "Docker does not let this user in",
        )
        .detail(endpoint.to_string())
        .remedy(
            "add the user to the group docker (`sudo usermod -aG docker $USER`), then log in again",
        ),
        Some((endpoint, Failure::Other(detail))) => {
            problem.detail(detail).remedy(endpoint.remedy())
        }
        Some((endpoint, Failure::Absent)) => problem
            .detail(format!("there is no {endpoint}"))
            .remedy(endpoint.remedy()),
        None => problem,
    }
}

impl Engine {
    /// All containers, also dead ones, that carry the label.
    ///
    /// # Errors
    /// [`Code::DockerNotRunning`] when the engine fails to answer.
    pub async fn labelled(&self, label: &str) -> Result<Vec<Seen>, Problem> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        self.list(Some(filters), true).await
    }

    /// The running container that publishes a port of this machine.
    ///
    /// # Errors
    /// [`Code::ActionFailed`] when none does.
    pub async fn on_port(&self, port: u16) -> Result<Vec<Seen>, Problem> {
        let filters = HashMap::from([("publish".to_owned(), vec![port.to_string()])]);
        let found = self.list(Some(filters), false).await?;
        if found.is_empty() {
            return Err(Problem::new(
                Code::ActionFailed,
                format!("no container publishes port {port}"),
            ));
        }
        Ok(found)
    }

    async fn list(
        &self,
        filters: Option<HashMap<String, Vec<String>>>,
        all: bool,
    ) -> Result<Vec<Seen>, Problem> {
        let summaries = self
            .client
            .list_containers(Some(ListContainersOptions {
                all,
                filters,
                ..ListContainersOptions::default()
            }))
            .await
            .map_err(|e| failed(&e))?;
        let mut seen: Vec<Seen> = futures_util::stream::iter(summaries)
            .map(|summary| self.look_closer(summary))
            .buffer_unordered(AT_ONCE)
            .filter_map(futures_util::future::ready)
            .collect()
            .await;
        seen.sort_by(|a, b| a.view.name.cmp(&b.view.name));
        Ok(seen)
    }

    /// `None`: it was removed in between.
    async fn look_closer(&self, summary: ContainerSummary) -> Option<Seen> {
        let id = summary.id.clone()?;
        match self
            .client
            .inspect_container(&id, None::<InspectContainerOptions>)
            .await
        {
            Ok(inspected) => Some(seen(id, &summary, inspected)),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => None,
            Err(_) => Some(seen(id, &summary, ContainerInspectResponse::default())),
        }
    }
}

fn seen(id: String, summary: &ContainerSummary, inspected: ContainerInspectResponse) -> Seen {
    let state = inspected.state.unwrap_or_default();
    let word = state
        .status
        .map(|status| status.to_string())
        .or_else(|| summary.state.map(|state| state.to_string()))
        .unwrap_or_default();
    let dead = matches!(word.as_str(), "exited" | "dead");
    let name = summary
        .names
        .as_ref()
        .and_then(|names| names.first())
        .map(|name| name.trim_start_matches('/').to_owned())
        .unwrap_or_default();
    Seen {
        view: Container {
            name,
            image: summary.image.clone().unwrap_or_default(),
            health: state
                .health
                .and_then(|health| health.status)
                .map(|health| health.to_string())
                .filter(|health| !health.is_empty() && health != "none"),
            status: summary.status.clone().unwrap_or_default(),
            exit_code: state.exit_code.filter(|_| dead),
            // Docker writes the year 1 for "never".
            started_at: state
                .started_at
                .and_then(|text| text.parse::<Timestamp>().ok())
                .filter(|at| at.as_second() > 0),
            state: word,
        },
        env: inspected
            .config
            .and_then(|config| config.env)
            .unwrap_or_default(),
        id,
    }
}

fn failed(error: &Error) -> Problem {
    Problem::new(
        Code::DockerNotRunning,
        "Docker does not answer as it should",
    )
    .detail(error.to_string())
    .remedy("look at `docker ps`; restart Docker if that fails too")
}

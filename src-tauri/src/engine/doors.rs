//! Where the gateway listens: at its own address, and at those of services that run behind it.
//!
//! A service that comes to run behind the gateway has its address until its process has ended: the door is *moving*,
//! which is no trouble, and opens as soon as the process is gone. One that leaves is restarted only when its door is
//! closed. An address that somebody else has is named and tried again; the service answers on its own port
//! meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cockpit_gateway::Gateway;
use cockpit_model::gateway::{FrontView, GatewayView};
use cockpit_model::service::InstanceState;
use cockpit_model::traffic::TrafficSpec;
use cockpit_model::{Code, EventBody, PortHolder, Problem};
use cockpit_platform::{ports, take_over};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Engine, follow, health, keys, traffic, whole};

/// How often an address that somebody else has is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// A foreign process that was ended lets go of its address within this.
const RELEASE_WITHIN: Duration = Duration::from_secs(15);

/// The gateway, and where it listens.
pub(super) struct Open {
    pub(super) gateway: Gateway,
    doors: Vec<Opened>,
    /// What it does besides.
    tending: Running,
    /// Where it is to listen, and for whom.
    wanted: Vec<Wanted>,
}

/// An address, and the service whose it is.
type Wanted = (SocketAddr, Option<String>);

/// A door that is open.
struct Opened {
    listen: SocketAddr,
    service: Option<String>,
    serving: Running,
}

/// A task that ends when it is told to.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// `work` gets what resolves when it is to end.
    fn start<F: Future<Output = ()> + Send + 'static>(
        work: impl FnOnce(WaitForCancellationFutureOwned) -> F,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(stop.clone().cancelled_owned()));
        Self { stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// A door as it is known without waiting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Door {
    pub(super) listen: SocketAddr,
    /// Whose address it is; none: the gateway's own.
    pub(super) service: Option<String>,
    /// Why it is not open.
    pub(super) shut: Option<Shut>,
}

/// Why a door is not open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shut {
    pub(super) cause: String,
    /// Who has the address.
    pub(super) holder: Option<PortHolder>,
    /// Whether that is the service itself, on its way behind the gateway.
    pub(super) moving: bool,
}

/// Does what the settings say: opens the gateway, gives it new settings, or closes it.
pub(super) async fn obey(engine: &Arc<Engine>, spec: Option<&TrafficSpec>) {
    let mut open = engine.traffic.lock().await;
    let Some(spec) = spec else {
        // Nobody wants prompts kept.
        engine.prompts.obey(std::collections::BTreeMap::new());
        *whole(&engine.gateway) = None;
        whole(&engine.doors).clear();
        if let Some(open) = open.take() {
            close(engine, open).await;
        }
        health::follow(engine);
        return;
    };
    match &mut *open {
        Some(open) => {
            open.gateway.apply(spec.clone()).await;
            // Who has a budget only from now on has spent all the same.
            let spent = traffic::spent(engine.ledger.clone()).await;
            open.gateway.restore(spent);
            open.wanted = wanted(spec);
        }
        None => match traffic::begin(engine, spec).await {
            Ok(gateway) => {
                *whole(&engine.gateway) = Some(gateway.clone());
                let tended = gateway.clone();
                *open = Some(Open {
                    gateway,
                    tending: Running::start(|stop| async move { tended.tend(stop).await }),
                    doors: Vec::new(),
                    wanted: wanted(spec),
                });
            }
            Err(cause) => {
                let shut = Shut {
                    cause,
                    holder: None,
                    moving: false,
                };
                let all = wanted(spec).into_iter();
                let all = all.map(|(listen, service)| Door {
                    listen,
                    service,
                    shut: Some(shut.clone()),
                });
                show(engine, all.collect());
                return;
            }
        },
    }
    if let Some(open) = &mut *open {
        open_doors(engine, open).await;
    }
    health::follow(engine);
}

/// Closes the doors of services that do not run behind the gateway any more: they want their addresses back.
pub(super) async fn let_go(engine: &Engine, spec: Option<&TrafficSpec>) {
    let mut open = engine.traffic.lock().await;
    let Some(open) = &mut *open else { return };
    let wanted = spec.map(wanted).unwrap_or_default();
    let goes = |door: &mut Opened| {
        door.service.is_some() && !wanted.iter().any(|(at, of)| door.is(*at, of.as_deref()))
    };
    let going: Vec<Opened> = open.doors.extract_if(.., goes).collect();
    // Nobody opens them again before the new settings are in force.
    let stays = |at: SocketAddr, of: &Option<String>| {
        of.is_none() || wanted.iter().any(|one| one.0 == at && one.1 == *of)
    };
    open.wanted.retain(|(at, of)| stays(*at, of));
    whole(&engine.doors).retain(|door| stays(door.listen, &door.service));
    for door in going {
        tracing::info!(listen = %door.listen, "the gateway gives an address back");
        door.close().await;
    }
}

/// Opens what is shut once what hindered it is gone, until told to stop.
pub(super) async fn watch(engine: Arc<Engine>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = stopping.cancelled() => return,
        }
        if whole(&engine.doors).iter().any(|door| door.shut.is_some()) {
            retry(&engine).await;
        }
        // What requests said of a provider falls silent with time, and a budget begins at zero with the day.
        health::follow(&engine);
        follow::judge(&engine, false);
    }
}

/// A service's process changed: its address may be free now.
pub(super) async fn on_process(engine: &Arc<Engine>, service: &str) {
    let moving = whole(&engine.doors).iter().any(|door| {
        door.service.as_deref() == Some(service)
            && door.shut.as_ref().is_some_and(|shut| shut.moving)
    });
    if moving {
        retry(engine).await;
    }
}

pub(super) async fn retry(engine: &Arc<Engine>) {
    let is_there = {
        let mut open = engine.traffic.lock().await;
        if let Some(open) = &mut *open {
            open_doors(engine, open).await;
        }
        open.is_some()
    };
    if is_there {
        health::follow(engine);
        return;
    }
    // It could not be made at all.
    let settings = engine.settings().clone();
    if let Some(spec) = settings.as_ref().and_then(|config| config.traffic.as_ref()) {
        obey(engine, Some(spec)).await;
    }
}

/// Ends the foreign process that has a service's address, in its owner's way, and opens the door in its place;
/// `None` if no such process is known.
pub(super) async fn take_over(engine: &Arc<Engine>, service: &str) -> Option<Result<(), Problem>> {
    let (listen, holder) = whole(&engine.doors).iter().find_map(|door| {
        let shut = door.shut.as_ref().filter(|shut| !shut.moving)?;
        let is_its = door.service.as_deref() == Some(service);
        Some((door.listen, shut.holder.clone()?)).filter(|_| is_its)
    })?;
    if let Err(problem) = take_over::end_listener(listen.port(), Some(&holder)).await {
        return Some(Err(problem));
    }
    let give_up = Instant::now() + RELEASE_WITHIN;
    loop {
        retry(engine).await;
        let shut = whole(&engine.doors)
            .iter()
            .find(|door| door.service.as_deref() == Some(service))
            .and_then(|door| door.shut.clone());
        let Some(shut) = shut else {
            return Some(Ok(()));
        };
        if Instant::now() >= give_up {
            return Some(Err(Problem::new(
                Code::PortConflict,
                format!("{service}: {listen} is still held"),
            )
            .detail(shut.cause)
            .remedy(
                "its owner may start it again by itself: turn that off, then try again",
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Closes the gateway; answers under way are finished, within bounds.
pub(super) async fn end(engine: &Engine) {
    if let Some(open) = engine.traffic.lock().await.take() {
        close(engine, open).await;
    }
}

/// The gateway as people see it.
pub(super) fn view(engine: &Engine) -> GatewayView {
    let gateway = whole(&engine.gateway).clone();
    let mut view = gateway.map(|gateway| gateway.view()).unwrap_or_default();
    health::remember(engine, &mut view.providers);
    view.open = false;
    for door in &*whole(&engine.doors) {
        let open = door.shut.is_none();
        let cause = door.shut.as_ref().map(|shut| shut.cause.clone());
        match &door.service {
            Some(service) => view.fronts.push(FrontView {
                listen: door.listen,
                service: service.clone(),
                open,
                cause,
            }),
            None => {
                view.listen = Some(door.listen);
                (view.open, view.cause) = (open, cause);
            }
        }
    }
    view
}

/// What of its doors a person should mend.
pub(super) fn trouble(engine: &Engine) -> Vec<String> {
    let doors = whole(&engine.doors);
    let shut = doors.iter().filter_map(|door| door.shut.as_ref());
    let mut all: Vec<String> = shut
        .filter(|shut| !shut.moving)
        .map(|shut| shut.cause.clone())
        .collect();
    all.dedup();
    all
}

impl Opened {
    fn is(&self, listen: SocketAddr, service: Option<&str>) -> bool {
        self.listen == listen && self.service.as_deref() == service
    }

    async fn close(self) {
        self.serving.end().await;
    }
}

async fn close(engine: &Engine, open: Open) {
    futures_util::future::join_all(open.doors.into_iter().map(Opened::close)).await;
    open.tending.end().await;
    keys::write_uses(&engine.state, &open.gateway).await;
}

/// Where the gateway is to listen, and for whom.
fn wanted(spec: &TrafficSpec) -> Vec<Wanted> {
    let fronts = spec.fronts.iter();
    let fronts = fronts.map(|front| (front.listen, Some(front.service.clone())));
    std::iter::once((spec.listen, None)).chain(fronts).collect()
}

async fn open_doors(engine: &Arc<Engine>, open: &mut Open) {
    let mut doors = Vec::new();
    for (listen, service) in open.wanted.clone() {
        let is_open = open
            .doors
            .iter()
            .any(|door| door.is(listen, service.as_deref()));
        let shut = if is_open {
            None
        } else {
            match bind(engine, listen, service.as_deref()).await {
                Ok(listener) => {
                    let opened = serve(&open.gateway, listener, listen, service.clone());
                    // The new one first: where it cannot open, the old one is better than none.
                    let old = open.doors.extract_if(.., |door| door.service == service);
                    let old: Vec<Opened> = old.collect();
                    open.doors.push(opened);
                    for door in old {
                        door.close().await;
                    }
                    None
                }
                Err(shut) => Some(shut),
            }
        };
        doors.push(Door {
            listen,
            service,
            shut,
        });
    }
    show(engine, doors);
}

fn serve(
    gateway: &Gateway,
    listener: TcpListener,
    listen: SocketAddr,
    service: Option<String>,
) -> Opened {
    tracing::info!(%listen, service, "the gateway is open");
    let (gateway, whose) = (gateway.clone(), service.clone());
    let serving = Running::start(|stop| async move {
        gateway.serve_at(listener, whose.as_deref(), stop).await;
    });
    Opened {
        listen,
        service,
        serving,
    }
}

async fn bind(
    engine: &Engine,
    listen: SocketAddr,
    service: Option<&str>,
) -> Result<TcpListener, Shut> {
    let error = match TcpListener::bind(listen).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let standing = |name| engine.supervisor.get()?.standing(name);
    let standing = service.and_then(standing);
    let stopping = standing
        .as_ref()
        .is_some_and(|one| one.state == InstanceState::Stopping);
    let holder = if stopping {
        None
    } else {
        ports::holder(listen.port()).await
    };
    let own = |holder: &PortHolder| {
        let supervisor = engine.supervisor.get()?;
        let pid = holder.pid?;
        let mut ours = supervisor.processes().into_iter();
        ours.find(|one| Some(one.service.as_str()) == service && one.pid == pid)
    };
    if let Some(service) = service
        && (stopping || holder.as_ref().and_then(own).is_some())
    {
        return Err(Shut {
            cause: format!("{service} is still at {listen}, and moves behind the gateway"),
            holder: None,
            moving: true,
        });
    }
    let whose = holder.as_ref().map_or_else(String::new, |holder| {
        let who = match (holder.pid, holder.described.as_str()) {
            (Some(pid), "") => format!(" (pid {pid})"),
            (Some(pid), described) => format!(" (pid {pid}, {described})"),
            (None, _) => String::new(),
        };
        format!(": `{}`{who} has the port", holder.name)
    });
    let cause = match service {
        None => format!(
            "the gateway cannot listen on {listen} ({error}){whose}; end that, or give the gateway another with \
             `listen` under [gateway]"
        ),
        Some(service) => {
            let meanwhile = standing.and_then(|one| one.port);
            let meanwhile = meanwhile.map_or_else(String::new, |port| {
                format!("; {service} answers on port {port} meanwhile")
            });
            format!(
                "the gateway cannot take {listen} for {service} ({error}){whose}; end that, or have it taken \
                 over{meanwhile}"
            )
        }
    };
    Err(Shut {
        cause,
        holder,
        moving: false,
    })
}

/// Shows the doors, and tells of those that are newly in trouble.
fn show(engine: &Engine, doors: Vec<Door>) {
    let before = std::mem::replace(&mut *whole(&engine.doors), doors.clone());
    let cause = |door: &Door| {
        let shut = door.shut.as_ref().filter(|shut| !shut.moving)?;
        Some(shut.cause.clone())
    };
    let known: Vec<String> = before.iter().filter_map(cause).collect();
    let mut news: Vec<String> = doors.iter().filter_map(cause).collect();
    news.dedup();
    for message in news {
        if !known.contains(&message) {
            tracing::error!("{message}");
            let level = "error".to_owned();
            engine.publish(EventBody::Cockpit { level, message });
        }
    }
}

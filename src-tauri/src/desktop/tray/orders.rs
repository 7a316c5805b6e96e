//! What the menu's items do. An item's id is its order as text, so that nothing need be remembered.

use std::sync::Arc;

use cockpit_model::{Problem, Service};
use serde_json::{Value, json};
use studio_cockpit::cli::client::encode;
use tauri::{AppHandle, Manager};

use crate::desktop::engine::Engine;
use crate::desktop::renew::Tasks;
use crate::desktop::window;

/// An order of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Restart a service.
    Restart(String),
    /// Stop a service that runs, start one that does not.
    Switch(String),
    /// Show the window, at a place in the UI.
    Open(Option<String>),
    /// Show the UI in the browser.
    Browser,
    /// Turn starting at login on or off.
    Login,
    /// Start a stopped engine.
    Wake,
    /// End the app only.
    Quit,
    /// End services, engine and app.
    StopAll,
}

impl Order {
    /// The order as an item's id.
    pub(super) fn id(&self) -> String {
        let (verb, object) = match self {
            Self::Restart(name) => ("restart", name.as_str()),
            Self::Switch(name) => ("switch", name.as_str()),
            Self::Open(place) => ("open", place.as_deref().unwrap_or_default()),
            Self::Browser => ("browser", ""),
            Self::Login => ("login", ""),
            Self::Wake => ("wake", ""),
            Self::Quit => ("quit", ""),
            Self::StopAll => ("stop-all", ""),
        };
        format!("{verb} {object}")
    }

    /// The order of an item's id; none for an item of another menu.
    fn of(id: &str) -> Option<Self> {
        let (verb, object) = id.split_once(' ')?;
        let object = object.to_owned();
        Some(match verb {
            "restart" => Self::Restart(object),
            "switch" => Self::Switch(object),
            "open" => Self::Open((!object.is_empty()).then_some(object)),
            "browser" => Self::Browser,
            "login" => Self::Login,
            "wake" => Self::Wake,
            "quit" => Self::Quit,
            "stop-all" => Self::StopAll,
            _ => return None,
        })
    }
}

/// Does what the item with this id stands for. Nothing here blocks the menu.
pub(super) fn carry_out(app: &AppHandle, id: &str) {
    let Some(order) = Order::of(id) else {
        return;
    };
    let engine = Arc::clone(&app.state::<Arc<Engine>>());
    match order {
        Order::Open(place) => window::open(app, place.as_deref()),
        Order::Quit => app.exit(0),
        Order::Wake => engine.wake(),
        other => {
            let app = app.clone();
            let task = app.state::<Tasks>().begin();
            tauri::async_runtime::spawn(async move {
                if let Err(problem) = carry_out_with(&app, &engine, other).await {
                    tracing::warn!("{problem}");
                    cockpit_platform::notify::notify("Studio Cockpit", &problem.to_string());
                }
                drop(task);
            });
        }
    }
}

async fn carry_out_with(app: &AppHandle, engine: &Engine, order: Order) -> Result<(), Problem> {
    let client = engine.client();
    match order {
        Order::Restart(name) => act(engine, &name, "restart").await?,
        Order::Switch(name) => {
            let service: Service = client
                .get(&format!("/api/services/{}", encode(&name)))
                .await?;
            let stop = service.actions.contains(&cockpit_model::Action::Stop);
            act(engine, &name, if stop { "stop" } else { "start" }).await?;
        }
        Order::Browser => cockpit_platform::open::url(&engine.browser_url().await?).await?,
        Order::Login => {
            let item: Value = client.get("/api/login").await?;
            let on = item.get("on").and_then(Value::as_bool).unwrap_or(false);
            let set = client
                .post::<Value>("/api/login", &json!({ "on": !on }))
                .await;
            // The check mark turned by itself: let it show what is.
            engine.look_again();
            set?;
        }
        Order::StopAll => {
            let _no_new_one = engine.stop_everything().await?;
            app.exit(0);
            std::future::pending::<()>().await;
        }
        Order::Open(_) | Order::Wake | Order::Quit => {}
    }
    Ok(())
}

async fn act(engine: &Engine, name: &str, action: &str) -> Result<(), Problem> {
    let path = format!("/api/services/{}/{action}", encode(name));
    engine
        .client()
        .post::<Value>(&path, &json!({}))
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_order() {
        for order in [
            Order::Restart("my api".into()),
            Order::Switch("db".into()),
            Order::Open(None),
            Order::Open(Some("/services/db/logs".into())),
            Order::Browser,
            Order::Login,
            Order::Wake,
            Order::Quit,
            Order::StopAll,
        ] {
            assert_eq!(Order::of(&order.id()), Some(order));
        }
        assert_eq!(Order::of("edit paste"), None);
        assert_eq!(Order::of("17"), None);
    }
}

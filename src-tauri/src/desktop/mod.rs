//! The window and the menubar.
//!
//! # Theory of operation
//!
//! The app owns no service and no data: it is a client of the engine over its unix socket, and may
//! be killed at any time. At its start it attaches to the engine of its data folder, or starts one
//! ([`engine`]). One task follows the engine's live events and keeps a small picture of it for the
//! menubar ([`feed`] → [`tray`]). The window is a webview made when asked for and destroyed when
//! closed ([`window`]); its screens reach the engine through a handful of commands ([`bridge`]). What a
//! webview leaves behind on Linux goes with the process: it then starts itself anew ([`renew`]).
//!
//! **Invariant:** only this folder knows Tauri.

mod bridge;
mod engine;
mod feed;
mod renew;
mod tray;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tauri::{App, AppHandle, Manager, RunEvent, WindowEvent};

use self::bridge::Subscriptions;
use self::engine::Engine;
use self::renew::Tasks;
use self::tray::Tray;

/// Opens the Studio Cockpit: window and menubar. Starts the engine if none runs.
#[derive(Debug, Clone, Parser)]
#[command(name = "studio-cockpit-app", version)]
struct Args {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration; `cockpit.toml` in the data folder unless given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Goes on without a window where a process before this one left off.
    #[arg(long = renew::FLAG, hide = true)]
    after_window: bool,
}

/// Runs the app until the person quits it.
pub(crate) fn run() -> ExitCode {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("STUDIO_COCKPIT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    if !has_display() {
        eprintln!(
            "studio-cockpit-app: there is no display to open a window on; run `studio-cockpit serve` \
             and then `studio-cockpit open` to use a browser"
        );
        return ExitCode::FAILURE;
    }
    if args.after_window {
        renew::adopt_children();
    }
    let engine = match Engine::locate(args.data_dir.as_deref(), args.config) {
        Ok(engine) => Arc::new(engine),
        Err(problem) => {
            eprintln!("studio-cockpit-app: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let app = tauri::Builder::default()
        .plugin(single_instance(&engine))
        .manage(Arc::clone(&engine))
        .manage(Subscriptions::default())
        .manage(Tasks::default())
        .invoke_handler(tauri::generate_handler![
            bridge::api,
            bridge::subscribe,
            bridge::unsubscribe,
            bridge::app_info,
            bridge::quit,
            bridge::upgrade_engine,
        ])
        .setup(move |app| {
            set_up(app, engine, args.after_window);
            Ok(())
        })
        .build(tauri::generate_context!());
    match app {
        Ok(app) => {
            app.run(on_event);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("studio-cockpit-app: the window system could not be used: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Without one, the window system's library ends the process with a backtrace.
fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || set("WAYLAND_DISPLAY") || set("DISPLAY")
}

/// A second launch focuses the window of the first. On Linux each data folder has its own app; on
/// a Mac there is one, as there is one dock icon.
fn single_instance(engine: &Engine) -> tauri::plugin::TauriPlugin<tauri::Wry> {
    tauri_plugin_single_instance::Builder::new()
        .dbus_id(format!("dev.studio-cockpit.app.d{}", engine.folder_hash()))
        .callback(|app, _, _| {
            if let Some(engine) = app.try_state::<Arc<Engine>>() {
                engine.wake();
            }
            window::open(app, None);
        })
        .build()
}

fn set_up(app: &App, engine: Arc<Engine>, after_window: bool) {
    let handle = app.handle();
    // Without a place for the icon the app still has its window.
    let tray = match Tray::build(handle) {
        Ok(tray) => Some(tray),
        Err(reason) => {
            tracing::warn!("no menubar icon: {reason}");
            None
        }
    };
    handle.manage(InMenubar(tray.is_some()));
    if !after_window || tray.is_none() {
        window::open(handle, None);
    }
    let app = handle.clone();
    tauri::async_runtime::spawn(async move {
        if !after_window {
            engine.leave_demo().await;
        }
        feed::follow(app, engine, tray).await;
    });
}

/// Whether there is an icon to come back by when the window is closed.
struct InMenubar(bool);

fn on_event(app: &AppHandle, event: RunEvent) {
    match event {
        // The last window closed. A code means that somebody asked to quit.
        RunEvent::ExitRequested {
            code: None, api, ..
        } if app.try_state::<InMenubar>().is_some_and(|it| it.0) => api.prevent_exit(),
        RunEvent::WindowEvent {
            event: WindowEvent::Destroyed,
            ..
        } => {
            app.state::<Subscriptions>().end_all();
            window::closed(app);
            // With no icon to come back by, the app ends now.
            if app.state::<InMenubar>().0 {
                renew::when_idle(app);
            }
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::open(app, None),
        _ => {}
    }
}

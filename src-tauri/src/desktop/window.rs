//! The window: made when asked for, destroyed when closed, at most one.

use tauri::webview::NewWindowResponse;
use tauri::{AppHandle, Manager, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use super::renew::Tasks;

/// Its label; the capabilities in `tauri.conf.json` name it.
const LABEL: &str = "main";

/// Shows the window, at a place in the UI if one is given (`/services/api`). Says so in the log
/// where it cannot be made: the menubar goes on.
pub(crate) fn open(app: &AppHandle, place: Option<&str>) {
    let shown = match app.get_webview_window(LABEL) {
        Some(window) => focus(&window, place),
        None => build(app, place),
    };
    if let Err(error) = shown {
        tracing::error!("the window could not be opened: {error}");
    }
}

fn focus(window: &WebviewWindow, place: Option<&str>) -> tauri::Result<()> {
    window.unminimize()?;
    window.show()?;
    window.set_focus()?;
    if let Some(place) = place {
        // A JSON string is a JavaScript one.
        let place = serde_json::Value::String(format!("#{place}"));
        window.eval(format!("location.hash = {place}"))?;
    }
    Ok(())
}

fn build(app: &AppHandle, place: Option<&str>) -> tauri::Result<()> {
    show_in_dock(app, true);
    let page = match place {
        Some(place) => format!("index.html#{place}"),
        None => "index.html".to_owned(),
    };
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App(page.into()))
        .title("Studio Cockpit")
        .inner_size(1200.0, 800.0)
        .min_inner_size(1000.0, 640.0)
        .center()
        .on_navigation(is_ours)
        .on_new_window({
            let app = app.clone();
            move |url, _| {
                open_in_browser(&app, url);
                NewWindowResponse::Deny
            }
        })
        .on_page_load(|window, load| {
            // A reloaded page has forgotten the streams of the one before.
            if load.event() == tauri::webview::PageLoadEvent::Started {
                window.state::<super::Subscriptions>().end_all();
            }
        })
        .build()?;
    window.set_focus()
}

/// After the window is gone the app lives in the menubar only.
pub(crate) fn closed(app: &AppHandle) {
    if app.webview_windows().is_empty() {
        show_in_dock(app, false);
    }
}

/// The window shows the app's own files and nothing else.
fn is_ours(url: &Url) -> bool {
    match url.scheme() {
        "tauri" => true,
        "http" | "https" => url.host_str() == Some("tauri.localhost"),
        _ => url.as_str() == "about:blank",
    }
}

/// A link leads to the person's browser.
fn open_in_browser(app: &AppHandle, url: Url) {
    let task = app.state::<Tasks>().begin();
    tauri::async_runtime::spawn(async move {
        if let Err(problem) = cockpit_platform::open::url(url.as_str()).await {
            tracing::warn!("{problem}");
        }
        drop(task);
    });
}

/// On a Mac the app has a dock icon and a menu exactly while it has a window.
#[cfg(target_os = "macos")]
fn show_in_dock(app: &AppHandle, shown: bool) {
    let policy = if shown {
        tauri::ActivationPolicy::Regular
    } else {
        tauri::ActivationPolicy::Accessory
    };
    if let Err(error) = app.set_activation_policy(policy) {
        tracing::warn!("the dock icon could not be changed: {error}");
    }
}

#[cfg(not(target_os = "macos"))]
const fn show_in_dock(_app: &AppHandle, _shown: bool) {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_the_apps_own_pages_are_shown() {
        let ours = |url: &str| is_ours(&url.parse().unwrap());
        assert!(ours("tauri://localhost/index.html"));
        assert!(ours("http://tauri.localhost/"));
        assert!(!ours("https://example.com/"));
        assert!(!ours("http://tauri.localhost.example.com/"));
        assert!(!ours("file:///etc/passwd"));
        assert!(!ours("javascript:alert(1)"));
        assert!(!ours("data:text/html,x"));
    }
}

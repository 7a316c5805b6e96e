//! The menubar icon and its menu.
//!
//! The icon's shape says the state; the menu says it in a sentence and offers the few things one
//! does without a window. Items are changed in place and only where the picture changed, so an open
//! menu does not jump and an idle app draws nothing.

mod orders;
mod picture;

use std::sync::{Arc, Mutex, PoisonError};

use cockpit_model::VerdictState;
use studio_cockpit::cli::client::encode;
use tauri::image::Image;
use tauri::menu::{CheckMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{TrayIcon, TrayIconBuilder};
use tauri::{AppHandle, Manager};

use self::orders::Order;
use self::picture::{Picture, Row};
use super::engine::Engine;
use super::feed::View;

/// Where the services' submenus begin: after the verdict and a separator.
const FIRST_ROW: usize = 2;
/// GTK's submenus keep the text they were made with (muda 0.20): there they are made anew.
const SUBMENUS_CAN_BE_RENAMED: bool = cfg!(target_os = "macos");

/// The icon in the menubar.
#[derive(Clone)]
pub(crate) struct Tray(Arc<Mutex<Drawn>>);

/// What stands in the menubar.
struct Drawn {
    icon: TrayIcon,
    menu: Menu<tauri::Wry>,
    verdict: MenuItem<tauri::Wry>,
    rows: Vec<DrawnRow>,
    start: MenuItem<tauri::Wry>,
    browser: MenuItem<tauri::Wry>,
    login: CheckMenuItem<tauri::Wry>,
    stop_all: MenuItem<tauri::Wry>,
    picture: Picture,
}

struct DrawnRow {
    submenu: Submenu<tauri::Wry>,
    restart: MenuItem<tauri::Wry>,
    switch: MenuItem<tauri::Wry>,
}

impl Tray {
    /// Puts the icon there.
    ///
    /// # Errors
    /// A sentence, where this desktop has no place for it.
    pub(crate) fn build(app: &AppHandle) -> Result<Self, String> {
        if !has_indicator_library() {
            return Err("libayatana-appindicator3 is not installed".to_owned());
        }
        Drawn::build(app)
            .map(|drawn| Self(Arc::new(Mutex::new(drawn))))
            .map_err(|error| error.to_string())
    }

    /// Draws what changed. Returns at once; the drawing is done on the main thread.
    pub(crate) fn show(&self, app: &AppHandle, view: &View) {
        let picture = Picture::of(view);
        let drawn = Arc::clone(&self.0);
        let handle = app.clone();
        let asked = app.run_on_main_thread(move || {
            let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = drawn.show(&handle, picture) {
                tracing::warn!("the menubar could not be changed: {error}");
            }
        });
        if let Err(error) = asked {
            tracing::warn!("the menubar could not be changed: {error}");
        }
    }
}

impl Drawn {
    fn build(app: &AppHandle) -> tauri::Result<Self> {
        let item =
            |order: Order, text: &str| MenuItem::with_id(app, order.id(), text, true, None::<&str>);
        let separator = || PredefinedMenuItem::separator(app);
        let picture = Picture::of(&View::Away("Looking for the engine…".to_owned()));
        let verdict = MenuItem::new(app, &picture.verdict, false, None::<&str>)?;
        let start = item(Order::Wake, "Start the Engine")?;
        let browser = item(Order::Browser, "Open in Browser")?;
        let login = CheckMenuItem::with_id(
            app,
            Order::Login.id(),
            "Start at Login",
            false,
            false,
            None::<&str>,
        )?;
        let stop_all = item(Order::StopAll, "Stop Everything and Quit")?;
        let menu = Menu::with_items(
            app,
            &[
                &verdict,
                &separator()?,
                // The services stand here.
                &start,
                &separator()?,
                &item(Order::Open(None), "Open Cockpit")?,
                &browser,
                &login,
                &separator()?,
                &item(Order::Quit, "Quit (Services Go On)")?,
                &stop_all,
            ],
        )?;
        // Each data folder has an icon of its own: on Linux its picture is a file of this name.
        let folder = app.state::<Arc<Engine>>().folder_hash();
        let icon = TrayIconBuilder::with_id(format!("verdict-{folder}"))
            .icon(shape(picture.shape)?)
            .icon_as_template(true)
            .tooltip("Studio Cockpit")
            .menu(&menu)
            .show_menu_on_left_click(true)
            .on_menu_event(|app, event| orders::carry_out(app, event.id().as_ref()))
            .build(app)?;
        browser.set_enabled(false)?;
        stop_all.set_enabled(false)?;
        Ok(Self {
            icon,
            menu,
            verdict,
            rows: Vec::new(),
            start,
            browser,
            login,
            stop_all,
            picture,
        })
    }

    fn show(&mut self, app: &AppHandle, new: Picture) -> tauri::Result<()> {
        // A click turns the check mark before anybody knows whether it could be done.
        if self.login.is_checked()? != (new.login == Some(true)) {
            self.login.set_checked(new.login == Some(true))?;
        }
        let old = std::mem::replace(&mut self.picture, new.clone());
        if old == new {
            return Ok(());
        }
        if old.shape != new.shape {
            self.icon
                .set_icon_with_as_template(Some(shape(new.shape)?), true)?;
        }
        if old.verdict != new.verdict {
            self.verdict.set_text(&new.verdict)?;
            self.icon.set_tooltip(Some(&new.verdict))?;
        }
        if old.has_rows_of(&new) {
            let pairs = old.services.iter().zip(&new.services);
            for (n, (row, (was, is))) in self.rows.iter_mut().zip(pairs).enumerate() {
                if was.title != is.title && !SUBMENUS_CAN_BE_RENAMED {
                    self.menu.remove(&row.submenu)?;
                    *row = DrawnRow::build(app, is)?;
                    self.menu.insert(&row.submenu, FIRST_ROW + n)?;
                } else if was != is {
                    row.show(is)?;
                }
            }
        } else {
            for row in self.rows.drain(..) {
                self.menu.remove(&row.submenu)?;
            }
            for (n, row) in new.services.iter().enumerate() {
                let drawn = DrawnRow::build(app, row)?;
                self.menu.insert(&drawn.submenu, FIRST_ROW + n)?;
                self.rows.push(drawn);
            }
        }
        if old.is_live != new.is_live {
            if new.is_live {
                self.menu.remove(&self.start)?;
            } else {
                self.menu.insert(&self.start, FIRST_ROW)?;
            }
            self.browser.set_enabled(new.is_live)?;
            self.stop_all.set_enabled(new.is_live)?;
        }
        if old.login != new.login {
            self.login.set_enabled(new.login.is_some())?;
        }
        Ok(())
    }
}

impl DrawnRow {
    fn build(app: &AppHandle, row: &Row) -> tauri::Result<Self> {
        let name = || row.name.clone();
        let item =
            |order: Order, text: &str| MenuItem::with_id(app, order.id(), text, true, None::<&str>);
        let restart = item(Order::Restart(name()), "Restart")?;
        let switch = item(Order::Switch(name()), "Stop")?;
        let place = format!("/services/{}/log", encode(&row.name));
        let logs = item(Order::Open(Some(place)), "Open Logs…")?;
        let submenu = Submenu::with_items(app, &row.title, true, &[&restart, &switch, &logs])?;
        let drawn = Self {
            submenu,
            restart,
            switch,
        };
        drawn.show(row)?;
        Ok(drawn)
    }

    fn show(&self, row: &Row) -> tauri::Result<()> {
        self.submenu.set_text(&row.title)?;
        self.restart.set_enabled(row.can_restart)?;
        self.switch
            .set_text(if row.offers_start { "Start" } else { "Stop" })?;
        self.switch.set_enabled(row.can_switch)
    }
}

/// The icon of a state: black on nothing, coloured by the menubar itself.
fn shape(state: VerdictState) -> tauri::Result<Image<'static>> {
    let png: &[u8] = match state {
        VerdictState::Well => include_bytes!("../../../../icons/tray-well.png"),
        VerdictState::Busy => include_bytes!("../../../../icons/tray-busy.png"),
        VerdictState::Degraded => include_bytes!("../../../../icons/tray-degraded.png"),
        VerdictState::Down => include_bytes!("../../../../icons/tray-down.png"),
        VerdictState::Unknown => include_bytes!("../../../../icons/tray-unknown.png"),
    };
    Image::from_bytes(png)
}

/// The library that shows indicators on Linux is loaded at run time, and its absence is a panic
/// there: so it is looked for first.
#[cfg(not(target_os = "macos"))]
fn has_indicator_library() -> bool {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .chain(["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].map(Into::into));
    let mut files = folders.flat_map(|folder| {
        ["libayatana-appindicator3.so.1", "libappindicator3.so.1"].map(|name| folder.join(name))
    });
    files.any(|file| file.exists())
}

#[cfg(target_os = "macos")]
const fn has_indicator_library() -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_state_has_an_icon_of_the_menubars_size() {
        for state in [
            VerdictState::Well,
            VerdictState::Busy,
            VerdictState::Degraded,
            VerdictState::Down,
            VerdictState::Unknown,
        ] {
            let image = shape(state).unwrap();
            assert_eq!((image.width(), image.height()), (44, 44), "{state:?}");
        }
    }
}

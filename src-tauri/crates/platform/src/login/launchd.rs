//! The LaunchAgent's property list.
#![cfg(any(target_os = "macos", test))]

use std::path::{Path, PathBuf};

use super::Start;

/// The job's name.
pub(super) const LABEL: &str = "dev.studio-cockpit.engine";

/// Where launchd looks for it.
pub(super) fn plist_path(home: &Path) -> PathBuf {
    home.join("Library/LaunchAgents")
        .join(format!("{LABEL}.plist"))
}

/// The file's contents.
///
/// `SuccessfulExit` false: it is started again after a crash, and not after a stop that was asked
/// for. `Interactive`: no App Nap and no throttling, since it stands in the path of requests.
/// `AbandonProcessGroup`: the services under their shims outlive it.
pub(super) fn plist(start: &Start) -> String {
    let arguments: String = start
        .line()
        .iter()
        .map(|word| format!("    <string>{}</string>\n", escape(word)))
        .collect();
    let log = start.data_dir.join("engine.log");
    let log = escape(&log.to_string_lossy());
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
{arguments}  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>StandardOutPath</key>
  <string>{log}</string>
  <key>StandardErrorPath</key>
  <string>{log}</string>
</dict>
</plist>
"#
    )
}

/// Text inside an XML element. Control characters have no form in XML 1.0 and are dropped.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Whether `launchctl print-disabled` lists the job as disabled: `"label" => disabled` (`true` on
/// older systems).
pub(super) fn is_disabled(listing: &str) -> bool {
    listing.lines().any(|line| {
        let Some((name, state)) = line.split_once("=>") else {
            return false;
        };
        name.trim().trim_matches('"') == LABEL && matches!(state.trim(), "disabled" | "true")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_whole_file() {
        let text = plist(&Start {
            exe: "/Applications/Studio Cockpit.app/Contents/MacOS/studio-cockpit".into(),
            data_dir: "/Users/me/Library/Application Support/Studio Cockpit".into(),
            config: Some("/Users/me/R&D <1>/cockpit.toml".into()),
        });
        assert_eq!(
            text,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>dev.studio-cockpit.engine</string>
  <key>ProgramArguments</key>
  <array>
    <string>/Applications/Studio Cockpit.app/Contents/MacOS/studio-cockpit</string>
    <string>serve</string>
    <string>--await-config</string>
    <string>--data-dir</string>
    <string>/Users/me/Library/Application Support/Studio Cockpit</string>
    <string>--config</string>
    <string>/Users/me/R&amp;D &lt;1&gt;/cockpit.toml</string>
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>AbandonProcessGroup</key>
  <true/>
  <key>StandardOutPath</key>
  <string>/Users/me/Library/Application Support/Studio Cockpit/engine.log</string>
  <key>StandardErrorPath</key>
  <string>/Users/me/Library/Application Support/Studio Cockpit/engine.log</string>
</dict>
</plist>
"#
        );
    }

    #[test]
    fn where_launchd_looks() {
        assert_eq!(
            plist_path(Path::new("/Users/me")),
            Path::new("/Users/me/Library/LaunchAgents/dev.studio-cockpit.engine.plist")
        );
    }

    #[test]
    fn switched_off_by_a_person() {
        let listing = "disabled services = {\n\t\"com.other\" => disabled\n\t\"dev.studio-cockpit.engine\" => enabled\n}";
        assert!(!is_disabled(listing));
        assert!(is_disabled("\t\"dev.studio-cockpit.engine\" => disabled"));
        assert!(is_disabled("\t\"dev.studio-cockpit.engine\" => true"));
    }
}

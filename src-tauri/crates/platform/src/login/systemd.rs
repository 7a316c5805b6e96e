//! The unit of systemd's user manager.
#![cfg(any(not(target_os = "macos"), test))]

use std::path::{Path, PathBuf};

use super::Start;

/// The unit's name.
pub(crate) const UNIT: &str = "studio-cockpit.service";

/// Where the user manager looks for it.
pub(super) fn unit_path(home: &Path) -> PathBuf {
    home.join(".config/systemd/user").join(UNIT)
}

/// The link that makes it start with the user manager.
pub(super) fn wants_path(home: &Path) -> PathBuf {
    home.join(".config/systemd/user/default.target.wants")
        .join(UNIT)
}

/// The file's contents.
///
/// `KillMode=process`: the services under their shims outlive the engine. No start limit: an
/// unattended machine recovers when the cause of a crash goes away. `OOMPolicy=continue`: the services
/// share the engine's group, and one that the kernel ends for its memory is the engine's to bring back.
pub(super) fn unit(start: &Start) -> String {
    let line: Vec<String> = start.line().iter().map(|word| escape(word)).collect();
    format!(
        "[Unit]
Description=Studio Cockpit engine
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={}
Restart=on-failure
RestartSec=5
KillMode=process
OOMPolicy=continue

[Install]
WantedBy=default.target
",
        line.join(" ")
    )
}

/// One word of `ExecStart=`: quoted, and without what systemd would expand (`%` specifiers, `$`
/// variables, C escapes).
fn escape(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for c in word.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '%' => out.push_str("%%"),
            '$' => out.push_str("$$"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_file() {
        let text = unit(&Start {
            exe: "/opt/studio cockpit/studio-cockpit".into(),
            data_dir: "/home/me/.local/share/studio-cockpit".into(),
            config: Some("/home/me/100% \"$HOME\"/cockpit.toml".into()),
        });
        assert_eq!(
            text,
            r#"[Unit]
Description=Studio Cockpit engine
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart="/opt/studio cockpit/studio-cockpit" "serve" "--await-config" "--data-dir" "/home/me/.local/share/studio-cockpit" "--config" "/home/me/100%% \"$$HOME\"/cockpit.toml"
Restart=on-failure
RestartSec=5
KillMode=process
OOMPolicy=continue

[Install]
WantedBy=default.target
"#
        );
    }

    #[test]
    fn nothing_can_leave_its_line() {
        assert_eq!(escape("a\nExecStart=/bin/sh"), "\"a\\nExecStart=/bin/sh\"");
        assert_eq!(escape("a\rb\u{7}"), "\"ab\"");
    }
}

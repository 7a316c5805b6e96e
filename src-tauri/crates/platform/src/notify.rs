//! A desktop notification. It is a courtesy: it never blocks, and a machine without a desktop loses
//! nothing but the banner.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tracing::debug;

/// Longest text that desktops show anyway.
const LONGEST: usize = 300;
/// A notification daemon that hangs must not collect our children.
const LIMIT: Duration = Duration::from_secs(10);

/// Shows a notification. Returns at once; outside a tokio runtime, or without a desktop, nothing
/// happens.
pub fn notify(title: &str, body: &str) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let (program, args) = line(&shorten(title), &shorten(body));
    runtime.spawn(async move {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        match child {
            Ok(mut child) => {
                let _ = tokio::time::timeout(LIMIT, child.wait()).await;
            }
            Err(e) => debug!("no desktop notification: {program}: {e}"),
        }
    });
}

#[cfg(target_os = "macos")]
fn line(title: &str, body: &str) -> (&'static str, Vec<String>) {
    (
        "/usr/bin/osascript",
        vec!["-e".to_owned(), script(title, body)],
    )
}

#[cfg(not(target_os = "macos"))]
fn line(title: &str, body: &str) -> (&'static str, Vec<String>) {
    // After `--` a title that starts with a dash is no option.
    let args = ["--app-name=Studio Cockpit", "--", title, body];
    ("notify-send", args.map(str::to_owned).to_vec())
}

/// One AppleScript statement, its texts quoted.
#[cfg(any(target_os = "macos", test))]
fn script(title: &str, body: &str) -> String {
    format!(
        "display notification {} with title {}",
        quoted(body),
        quoted(title)
    )
}

/// An AppleScript string: only the backslash and the quote are special in it.
#[cfg(any(target_os = "macos", test))]
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// At most [`LONGEST`] characters, and no control characters but the line end.
fn shorten(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_title_stays_a_text() {
        assert_eq!(
            script("api", r#"said "hi" \ & do shell script "rm""#),
            r#"display notification "said \"hi\" \\ & do shell script \"rm\"" with title "api""#
        );
    }

    #[test]
    fn control_characters_and_novels_are_cut() {
        assert_eq!(shorten("a\u{1b}[31mb\nc"), "a[31mb\nc");
        assert_eq!(shorten(&"x".repeat(1_000)).len(), LONGEST);
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn a_title_that_looks_like_an_option_is_none() {
        let (program, args) = line("--help", "body");
        assert_eq!(program, "notify-send");
        assert_eq!(args, ["--app-name=Studio Cockpit", "--", "--help", "body"]);
    }
}

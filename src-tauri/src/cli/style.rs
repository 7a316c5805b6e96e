//! How the command line looks: a state by symbol, word and colour, aligned columns, relative times.

use std::io::{self, IsTerminal, Write};

use cockpit_model::{InstanceState, Timestamp, VerdictState};

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Bad,
    Faint,
    Plain,
}

impl Style {
    /// Colours only on a terminal, and not when `NO_COLOR` is set or the terminal is dumb.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: stream.is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// No colours.
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// The text in the tone's colour.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Symbol and tone of an instance's state.
pub(crate) const fn of_state(state: InstanceState) -> (&'static str, Tone) {
    match state {
        InstanceState::Ready => ("●", Tone::Good),
        InstanceState::Done => ("✓", Tone::Good),
        InstanceState::Starting | InstanceState::Waiting | InstanceState::Stopping => {
            ("◐", Tone::Busy)
        }
        InstanceState::Degraded | InstanceState::Failing | InstanceState::BackingOff => {
            ("▲", Tone::Busy)
        }
        InstanceState::CrashLooping | InstanceState::Missing => ("✖", Tone::Bad),
        InstanceState::Stopped => ("○", Tone::Faint),
        InstanceState::Unknown => ("?", Tone::Faint),
    }
}

/// Symbol and tone of the verdict.
pub(crate) const fn of_verdict(state: VerdictState) -> (&'static str, Tone) {
    match state {
        VerdictState::Well => ("●", Tone::Good),
        VerdictState::Busy => ("◐", Tone::Busy),
        VerdictState::Degraded => ("▲", Tone::Busy),
        VerdictState::Down => ("✖", Tone::Bad),
        VerdictState::Unknown => ("?", Tone::Faint),
    }
}

/// A state as words: `crash looping`.
pub(crate) fn words(state: InstanceState) -> String {
    state.as_str().replace('_', " ")
}

/// How long ago, in the two units that matter: `3 h 12 min`.
pub(crate) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let pair = |a: i64, au: &str, b: i64, bu: &str| {
        if b == 0 {
            format!("{a} {au}")
        } else {
            format!("{a} {au} {b} {bu}")
        }
    };
    if days > 0 {
        pair(days, "d", hours, "h")
    } else if hours > 0 {
        pair(hours, "h", minutes, "min")
    } else if minutes > 0 {
        pair(minutes, "min", seconds % 60, "s")
    } else {
        format!("{seconds} s")
    }
}

/// Bytes for a person: `412 MiB`. Powers of 1024 that say so, as on the screens (`ui/src/lib/text/format.ts`)
/// and in the configuration.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A cell: what it says and in which tone.
pub(crate) type Cell = (String, Tone);

/// Rows in aligned columns, two spaces apart; trailing empty cells leave no trailing space.
pub(crate) fn table(out: &mut impl Write, style: Style, rows: &[Vec<Cell>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| text.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in rows {
        let last = row.iter().rposition(|(text, _)| !text.is_empty());
        let shown = last.map_or(0, |last| last + 1);
        for (column, (text, tone)) in row.iter().take(shown).enumerate() {
            write!(out, "{}", style.paint(*tone, text))?;
            if column + 1 < shown {
                let width = widths.get(column).copied().unwrap_or(0);
                let gap = width.saturating_sub(text.chars().count()) + 2;
                write!(out, "{:gap$}", "")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A text that came from elsewhere, made safe to print on a terminal: control characters but tab
/// are shown as what they are, so that a log line cannot move the cursor or retitle the window.
/// Colours (SGR sequences) pass where colours are wanted, and are taken out where they are not.
pub(crate) fn printable(text: &str, style: Style) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(sequence) = colour_sequence(from) {
            if style.colour {
                out.push_str(sequence);
            }
            rest = from.get(sequence.len()..).unwrap_or("");
        } else {
            let mut chars = from.chars();
            match chars.next() {
                Some(c) if u32::from(c) < 0x20 => {
                    out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'));
                }
                _ => out.push('\u{fffd}'),
            }
            rest = chars.as_str();
        }
    }
    out.push_str(rest);
    if style.colour && out.contains('\x1b') {
        out.push_str("\x1b[0m");
    }
    out
}

/// The colour sequence (`ESC [ digits ; … m`) a text starts with.
fn colour_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    parameters.get(end..)?.starts_with('m').then_some(())?;
    text.get(..2 + end + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn spans_say_the_two_units_that_matter() {
        let start = Timestamp::UNIX_EPOCH;
        let after = |seconds| span(start, Timestamp::from_second(seconds).unwrap());
        assert_eq!(after(0), "0 s");
        assert_eq!(after(59), "59 s");
        assert_eq!(after(125), "2 min 5 s");
        assert_eq!(after(3600), "1 h");
        assert_eq!(after(3600 * 26 + 59), "1 d 2 h");
        assert_eq!(span(Timestamp::from_second(9).unwrap(), start), "0 s");
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(432_013_312), "412 MiB");
    }

    #[test]
    fn columns_line_up() {
        let cell = |text: &str| (text.to_owned(), Tone::Plain);
        let rows = [
            vec![cell("NAME"), cell("STATE"), cell("")],
            vec![cell("ä"), cell("ready"), cell("x")],
        ];
        let mut out = Vec::new();
        table(&mut out, Style::PLAIN, &rows).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME  STATE\nä     ready  x\n"
        );
    }

    #[test]
    fn a_log_line_cannot_drive_the_terminal() {
        let colour = Style { colour: true };
        let hostile = "\x1b]0;owned\x07 \x1b[2J\x1b[31mred\x1b[0m\tok\u{9b}31m";
        let shown = printable(hostile, Style::PLAIN);
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\t'),
            "{shown:?}"
        );
        assert!(shown.contains("red\tok"), "{shown:?}");
        let shown = printable(hostile, colour);
        assert!(shown.contains("\x1b[31mred\x1b[0m"));
        assert!(!shown.contains("\x1b]") && !shown.contains("\x1b[2J"));
        assert_eq!(printable("\x1b[", colour), "␛[");
        assert_eq!(printable("\x1b[1;", colour), "␛[1;");
    }
}

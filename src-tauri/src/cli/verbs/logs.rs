//! `logs`: what a service wrote, and writes.

use std::io::{self, Write};

use cockpit_model::logs::{LogLine, Stream};
use cockpit_model::{Code, Problem};
use futures_util::StreamExt;
use jiff::tz::TimeZone;

use crate::cli::args::Reading;
use crate::cli::client::{Client, encode};
use crate::cli::failure::Done;
use crate::cli::style::{Style, Tone, printable};

/// Which lines.
pub(in crate::cli) struct Wanted {
    pub(in crate::cli) name: String,
    pub(in crate::cli) grep: Option<String>,
    pub(in crate::cli) tail: u32,
    pub(in crate::cli) instance: Option<u16>,
}

impl Wanted {
    fn path(&self, follow: bool) -> String {
        let mut path = format!(
            "/api/services/{}/logs?tail={}",
            encode(&self.name),
            self.tail
        );
        if let Some(text) = &self.grep {
            path.push_str(&format!("&grep={}", encode(text)));
        }
        if let Some(instance) = self.instance {
            path.push_str(&format!("&instance={instance}"));
        }
        if follow {
            path.push_str("&follow=true");
        }
        path
    }
}

pub(in crate::cli) async fn logs(reading: &Reading, wanted: &Wanted, follow: bool) -> Done {
    let client = reading.common.client()?;
    let printer = Printer {
        json: reading.json,
        style: Style::of(&io::stdout()),
        zone: TimeZone::system(),
    };
    if follow {
        return tokio::select! {
            done = go_on(&client, wanted, &printer) => done,
            // The way to end it.
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    let lines = client.get_bytes(&wanted.path(false)).await?;
    let mut out = io::stdout().lock();
    for line in lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        printer.print(&mut out, line)?;
    }
    Ok(())
}

async fn go_on(client: &Client, wanted: &Wanted, printer: &Printer) -> Done {
    let mut messages = Box::pin(client.stream(&wanted.path(true), None).await?);
    while let Some(message) = messages.next().await {
        let message = message?;
        if message.event == "line" {
            let mut out = io::stdout().lock();
            printer.print(&mut out, message.data.as_bytes())?;
            out.flush()?;
        }
    }
    Err(Problem::new(Code::NotRunning, "the engine ended the log")
        .remedy("see `studio-cockpit status`; the services go on when the engine stops")
        .into())
}

struct Printer {
    json: bool,
    style: Style,
    zone: TimeZone,
}

impl Printer {
    /// Prints one line of the API's.
    fn print(&self, out: &mut impl Write, json: &[u8]) -> io::Result<()> {
        if self.json {
            out.write_all(json)?;
            return writeln!(out);
        }
        let line: LogLine = serde_json::from_slice(json)?;
        let at = line.at.to_zoned(self.zone.clone());
        let at = self
            .style
            .paint(Tone::Faint, &at.strftime("%H:%M:%S%.3f").to_string());
        let instance = match line.instance {
            0 => String::new(),
            index => self.style.paint(Tone::Faint, &format!(" [{index}]")),
        };
        let text = printable(&line.text, self.style);
        let text = match line.stream {
            Stream::Stdout => text,
            Stream::Stderr => self.style.paint(Tone::Busy, &text),
            Stream::Cockpit => self.style.paint(Tone::Faint, &format!("— {text}")),
        };
        writeln!(out, "{at}{instance} {text}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_question_is_encoded() {
        let wanted = Wanted {
            name: "../api".into(),
            grep: Some("a&b=c d".into()),
            tail: 5,
            instance: Some(1),
        };
        assert_eq!(
            wanted.path(true),
            "/api/services/..%2Fapi/logs?tail=5&grep=a%26b%3Dc%20d&instance=1&follow=true"
        );
    }

    #[test]
    fn a_line_says_when_and_who() {
        let printer = Printer {
            json: false,
            style: Style::PLAIN,
            zone: TimeZone::UTC,
        };
        let mut out = Vec::new();
        let line =
            br#"{"at":"2026-01-01T10:20:30.5Z","instance":1,"stream":"stdout","text":"a\u0007b"}"#;
        printer.print(&mut out, line).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "10:20:30.500 [1] a␇b\n");
    }
}

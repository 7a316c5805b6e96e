//! `status`: the one sentence.

use std::io::{self, Write};
use std::net::SocketAddr;

use cockpit_model::verdict::ConfigState;
use cockpit_model::{Code, GatewayView, Problem, Status, Timestamp};

use crate::cli::args::{Common, Reading};
use crate::cli::client::Client;
use crate::cli::failure::Done;
use crate::cli::style::{self, Style, Tone};

pub(in crate::cli) async fn status(reading: &Reading) -> Done {
    let client = reading.common.client()?;
    let mut out = io::stdout().lock();
    if reading.json {
        let answer = client.get_bytes("/api/status").await?;
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let status: Status = match client.get("/api/status").await {
        Err(problem) if problem.code == Code::NotRunning => {
            return Err(or_the_demo(&reading.common, problem).await.into());
        }
        answer => answer?,
    };
    // An engine of an earlier version does not tell.
    let gateway: GatewayView = client.get("/api/gateway").await.unwrap_or_default();
    let style = Style::of(&io::stdout());
    // Where it listens stands beside the socket that it has just answered on.
    let engine = reading.common.folder()?.read_engine_file();
    let at = engine.ok().map(|engine| engine.listen);
    write(&mut out, style, &status, &gateway, at, Timestamp::now())?;
    Ok(())
}

/// Who looks for the cockpit and finds none may have left the demo running.
async fn or_the_demo(common: &Common, problem: Problem) -> Problem {
    if common.data_dir.is_some() {
        return problem;
    }
    let Some(demo) = common.folder().ok().and_then(|folder| folder.demo().ok()) else {
        return problem;
    };
    let Ok(socket) = demo.socket() else {
        return problem;
    };
    match Client::new(socket).get_bytes("/readyz").await {
        Ok(_) => problem.remedy(format!(
            "the demo runs: `studio-cockpit status --data-dir '{}'` shows it; your own starts with \
             `studio-cockpit serve`, or open the app",
            demo.path().display()
        )),
        Err(_) => problem,
    }
}

/// `http://127.0.0.1:11435, and http://127.0.0.1:11434 for ollama`; none: there is no gateway.
fn gateway_words(gateway: &GatewayView) -> Option<String> {
    let shut = |open: bool| if open { "" } else { " (not open)" };
    let mut words = format!("http://{}{}", gateway.listen?, shut(gateway.open));
    for front in &gateway.fronts {
        let shut = shut(front.open);
        words.push_str(&format!(
            ", and http://{} for {}{shut}",
            front.listen, front.service
        ));
    }
    Some(words)
}

fn write(
    out: &mut impl Write,
    style: Style,
    status: &Status,
    gateway: &GatewayView,
    at: Option<SocketAddr>,
    now: Timestamp,
) -> io::Result<()> {
    let verdict = &status.verdict;
    let (symbol, tone) = style::of_verdict(verdict.state);
    writeln!(
        out,
        "{} {} {}",
        style.paint(tone, symbol),
        verdict.summary,
        style.paint(
            Tone::Faint,
            &format!("for {}", style::span(verdict.since, now))
        )
    )?;
    if !verdict.cause.is_empty() {
        writeln!(out, "  {}", style::printable(&verdict.cause, style))?;
    }
    let plain = |text: String| (text, Tone::Plain);
    let label = |text: &str| (format!("  {text}"), Tone::Faint);
    let engine = &status.engine;
    let demo = if engine.demo { ", the demo stack" } else { "" };
    let mut rows = vec![
        vec![
            label("services"),
            plain(format!(
                "{} of {} ready",
                status.services.ready, status.services.total
            )),
        ],
        vec![
            label("config"),
            match status.config.state {
                ConfigState::Ok => plain(engine.config_path.clone()),
                ConfigState::Invalid => (
                    format!(
                        "{} does not hold; the last good one is in force",
                        engine.config_path
                    ),
                    Tone::Bad,
                ),
            },
        ],
        vec![
            label("engine"),
            plain(format!(
                "{}, pid {}, up {}{demo}",
                engine.version,
                engine.pid,
                style::span(engine.started_at, now)
            )),
        ],
        vec![label("data"), plain(engine.data_dir.clone())],
    ];
    if let Some(words) = gateway_words(gateway) {
        rows.insert(1, vec![label("gateway"), plain(words)]);
    }
    if let Some(at) = at {
        let words = format!("http://{at}, signed in by `studio-cockpit open`");
        rows.insert(1, vec![label("screen"), plain(words)]);
    }
    style::table(out, style, &rows)?;
    for trouble in &engine.trouble {
        let trouble = style::printable(trouble, style);
        writeln!(out, "  {} {trouble}", style.paint(Tone::Bad, "error:"))?;
    }
    for error in &status.config.errors {
        writeln!(out, "  {} {error}", style.paint(Tone::Bad, "error:"))?;
    }
    for warning in &status.config.warnings {
        writeln!(out, "  {} {warning}", style.paint(Tone::Busy, "warning:"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use cockpit_model::gateway::FrontView;

    #[test]
    fn one_sentence_then_the_facts() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "state": "down", "summary": "api keeps crashing", "cause": "exit code 1",
            "since": "2026-01-01T00:00:00Z",
            "config": { "state": "ok", "errors": [], "warnings": [] },
            "services": { "ready": 1, "total": 2 }, "incidents_open": 0,
            "engine": { "version": "0.1.0", "pid": 7, "started_at": "2025-12-31T22:00:00Z",
                "data_dir": "/d", "config_path": "/d/cockpit.toml", "demo": false,
                "trouble": ["telemetry.db is not in use"] },
        }))
        .unwrap();
        let mut out = Vec::new();
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let gateway = GatewayView::default();
        let at = Some(([127, 0, 0, 1], 4700).into());
        write(&mut out, Style::PLAIN, &status, &gateway, at, now).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "✖ api keeps crashing for 5 min\n  exit code 1\n  services  1 of 2 ready\n  \
             screen    http://127.0.0.1:4700, signed in by `studio-cockpit open`\n  \
             config    /d/cockpit.toml\n  engine    0.1.0, pid 7, up 2 h 5 min\n  data      /d\n  \
             error: telemetry.db is not in use\n"
        );
        let front = FrontView {
            listen: ([127, 0, 0, 1], 11434).into(),
            service: "ollama".to_owned(),
            open: false,
            cause: None,
        };
        let gateway = GatewayView {
            listen: Some(([127, 0, 0, 1], 11435).into()),
            open: true,
            fronts: vec![front],
            ..GatewayView::default()
        };
        assert_eq!(
            gateway_words(&gateway).unwrap(),
            "http://127.0.0.1:11435, and http://127.0.0.1:11434 for ollama (not open)"
        );
    }
}

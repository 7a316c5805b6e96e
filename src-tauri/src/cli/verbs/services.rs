//! `services`: the list.

use std::io::{self, Write};

use cockpit_model::{Owner, Service, Timestamp};

use crate::cli::args::Reading;
use crate::cli::failure::Done;
use crate::cli::style::{self, Cell, Style, Tone};

pub(in crate::cli) async fn services(reading: &Reading) -> Done {
    let client = reading.common.client()?;
    let mut out = io::stdout().lock();
    if reading.json {
        let answer = client.get_bytes("/api/services").await?;
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let services: Vec<Service> = client.get("/api/services").await?;
    if services.is_empty() {
        writeln!(
            out,
            "No services are configured yet. `studio-cockpit init` shows what runs on this machine."
        )?;
        return Ok(());
    }
    let style = Style::of(&io::stdout());
    style::table(&mut out, style, &rows(&services, Timestamp::now()))?;
    Ok(())
}

fn rows(services: &[Service], now: Timestamp) -> Vec<Vec<Cell>> {
    let head = [
        "", "NAME", "STATE", "FOR", "PID", "CPU", "MEMORY", "RESTARTS", "ADDRESS", "CAUSE",
    ];
    let mut rows = vec![head.map(|text| (text.to_owned(), Tone::Faint)).to_vec()];
    rows.extend(services.iter().map(|service| row(service, now)));
    rows
}

/// Where it is asked; and where it is itself, if something stands before it.
fn address(service: &Service) -> String {
    let listen = service.listen.clone().unwrap_or_default();
    let own = match service.instances.as_slice() {
        [one] => one.port,
        _ => None,
    };
    match own {
        Some(port) if !listen.is_empty() && !listen.ends_with(&format!(":{port}")) => {
            format!("{listen} → {port}")
        }
        _ => listen,
    }
}

fn row(service: &Service, now: Timestamp) -> Vec<Cell> {
    let (symbol, tone) = style::of_state(service.state);
    let instances = &service.instances;
    let pid = match instances.as_slice() {
        [one] => one.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        several => match several.iter().filter(|i| i.pid.is_some()).count() {
            0 => String::new(),
            running => format!("{running} of {}", several.len()),
        },
    };
    let cpu: Vec<f32> = instances.iter().filter_map(|i| i.cpu_percent).collect();
    let memory: Vec<u64> = instances.iter().filter_map(|i| i.memory_bytes).collect();
    let restarts: u32 = instances.iter().map(|i| i.restarts).sum();
    let cause = match (&service.owner_detail, service.owner) {
        (_, Owner::Cockpit) => service.cause.clone(),
        (Some(owner), _) => format!("{} · run by {owner}", service.cause),
        (None, _) => service.cause.clone(),
    };
    let plain = |text: String| (text, Tone::Plain);
    vec![
        (symbol.to_owned(), tone),
        plain(service.name.clone()),
        (style::words(service.state), tone),
        plain(style::span(service.since, now)),
        plain(pid),
        plain(if cpu.is_empty() {
            String::new()
        } else {
            format!("{:.1} %", cpu.iter().sum::<f32>())
        }),
        plain(if memory.is_empty() {
            String::new()
        } else {
            style::bytes(memory.iter().sum())
        }),
        plain(if restarts == 0 {
            String::new()
        } else {
            restarts.to_string()
        }),
        plain(address(service)),
        (
            style::printable(cause.trim_start_matches(" · "), Style::PLAIN),
            Tone::Faint,
        ),
    ]
}

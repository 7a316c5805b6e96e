//! Causes in plain words.

use std::time::Duration;

use cockpit_model::{Exit, PortHolder};

/// `250 ms`, `3.2 s`, `48 s`, `5 min`, `2 h 3 min`, `4 days`.
pub(crate) fn span(span: Duration) -> String {
    let ms = span.as_millis();
    let s = span.as_secs();
    match s {
        0 => format!("{ms} ms"),
        1..10 if ms % 1000 >= 100 => format!("{:.1} s", span.as_secs_f64()),
        1..120 => format!("{s} s"),
        120..7200 => format!("{} min", s / 60),
        7200..172_800 => match (s % 3600) / 60 {
            0 => format!("{} h", s / 3600),
            min => format!("{} h {min} min", s / 3600),
        },
        _ => format!("{} days", s / 86_400),
    }
}

/// `exited with code 1 after 3 s`, `killed by SIGKILL after 5 min`.
pub(crate) fn death(exit: &Exit, uptime: Duration) -> String {
    let after = span(uptime);
    match (exit.code, &exit.signal) {
        (Some(code), _) => format!("exited with code {code} after {after}"),
        (None, Some(signal)) => format!("killed by {signal} after {after}"),
        (None, None) => format!("ended after {after}"),
    }
}

/// `port 3000 is held by nginx (pid 123)`.
pub(crate) fn conflict(port: u16, holder: Option<&PortHolder>) -> String {
    match holder {
        None => format!("port {port} is held by a process that this user cannot see"),
        Some(holder) => format!("port {port} is held by {}", named(holder)),
    }
}

/// `Ollama.app (pid 812)`.
pub(crate) fn named(holder: &PortHolder) -> String {
    let name = match (holder.described.is_empty(), holder.name.is_empty()) {
        (false, _) => holder.described.as_str(),
        (true, false) => holder.name.as_str(),
        (true, true) => "another process",
    };
    match holder.pid {
        Some(pid) if !name.contains(&format!("pid {pid}")) => format!("{name} (pid {pid})"),
        _ => name.to_owned(),
    }
}

/// `5.1 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in UNITS.iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `(3 times)`; nothing for once.
pub(crate) fn times(n: u32) -> String {
    match n {
        0 | 1 => String::new(),
        n => format!(" ({n} times)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_spans_and_sizes_as_a_person_would() {
        let said = [0, 250, 1000, 3200, 48_000, 300_000, 7_380_000, 345_600_000]
            .map(|ms| span(Duration::from_millis(ms)));
        let expected = [
            "0 ms",
            "250 ms",
            "1 s",
            "3.2 s",
            "48 s",
            "5 min",
            "2 h 3 min",
            "4 days",
        ];
        assert_eq!(said, expected);
        assert_eq!(bytes(5_476_083_302), "5.1 GiB");
        assert_eq!(bytes(2048), "2.0 KiB");
    }
}

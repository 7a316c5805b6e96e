//! Draws charts of an invented day into a folder: a look at what a report will get.
//!
//! `cargo run -p cockpit-charts --example chart -- FOLDER`

mod invented;

use std::collections::BTreeMap;
use std::time::Duration;

use cockpit_charts::{Format, Kind, TrafficKind, render, render_traffic};
use cockpit_model::host::Series;
use jiff::Timestamp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    std::fs::create_dir_all(&folder)?;
    let now = Timestamp::now();
    let window = Duration::from_secs(86_400);
    let day = invented_day(now);
    let empty = Series::default();
    for (name, kind, series) in [
        ("cpu", Kind::Cpu, &day),
        ("memory", Kind::Memory, &day),
        ("empty", Kind::Memory, &empty),
    ] {
        for (extension, format) in [("svg", Format::Svg), ("png", Format::Png)] {
            let file = folder.join(format!("{name}.{extension}"));
            std::fs::write(&file, render(kind, format, series, now, window)?)?;
            println!("{}", file.display());
        }
    }
    let long = [
        "openai/gpt-4o-mini-2024-07-18",
        "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "ollama/hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
    ];
    let many: Vec<String> = (1..=20)
        .map(|n| format!("provider-{n}/model-{n}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let local = {
        let mut usage = invented::day(now, &["ollama/llama3.2"], 4.0);
        let free = |totals: &mut cockpit_model::usage::Totals| totals.cost_usd = None;
        free(&mut usage.totals);
        usage.totals.unpriced_calls = usage.totals.calls;
        usage
            .series
            .iter_mut()
            .for_each(|point| free(&mut point.totals));
        usage
            .groups
            .iter_mut()
            .for_each(|group| free(&mut group.totals));
        usage
    };
    for (name, usage) in [
        ("few", invented::day(now, &["openai/gpt-4o"], 0.6)),
        ("one", invented::day(now, &["openai/gpt-4o"], 40.0)),
        ("long", invented::day(now, &long, 900.0)),
        ("many", invented::day(now, &many, 30.0)),
        ("empty", invented::day(now, &[], 0.0)),
        ("unpriced", local),
    ] {
        for (what, kind) in [
            ("cost", TrafficKind::Cost),
            ("latency", TrafficKind::Latency),
            ("tokens", TrafficKind::Tokens),
            ("requests", TrafficKind::Requests),
        ] {
            for (extension, format) in [("svg", Format::Svg), ("png", Format::Png)] {
                let file = folder.join(format!("{what}-{name}.{extension}"));
                let notes = invented::notes(now);
                std::fs::write(
                    &file,
                    render_traffic(kind, format, &usage, &notes, now, window)?,
                )?;
                println!("{}", file.display());
            }
        }
    }
    Ok(())
}

fn invented_day(now: Timestamp) -> Series {
    let count = 720;
    let step = 120_000;
    let last = now.as_millisecond() / step * step;
    let mut values = BTreeMap::<String, Vec<Option<f64>>>::new();
    let mut noise = 42_u32;
    for i in 0..count {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let jitter = f64::from(noise >> 16) / 65_536.0;
        let hour = f64::from(i) / 30.0;
        let asleep = (210..262).contains(&i);
        let cpu = 16.0
            + 12.0 * (hour / 3.2).sin()
            + 10.0 * jitter
            + if (400..470).contains(&i) { 38.0 } else { 0.0 };
        let memory = 38.0 + 4.0 * (hour / 5.0).sin() + jitter + if i > 380 { 21.5 } else { 0.0 };
        for (name, value) in [
            ("cpu_percent", cpu),
            ("cpu_percent_max", (cpu * (1.3 + jitter)).min(100.0)),
            ("memory_used_bytes", memory * 1_073_741_824.0),
            ("swap_used_bytes", if i > 420 { 2.3e9 } else { 0.0 }),
        ] {
            values
                .entry(name.to_owned())
                .or_default()
                .push((!asleep).then_some(value));
        }
    }
    Series {
        step_ms: 120_000,
        at_ms: (0..i64::from(count))
            .map(|i| last - (i64::from(count) - 1 - i) * step)
            .collect(),
        values,
    }
}

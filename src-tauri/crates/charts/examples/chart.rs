//! Draws charts of an invented day into a folder: a look at what a report will get.
//!
//! `cargo run -p cockpit-charts --example chart -- FOLDER`

use std::collections::BTreeMap;
use std::time::Duration;

use cockpit_charts::{Format, Kind, render};
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

//! How hard the system works for memory, from what it says about itself.

use cockpit_model::host::Pressure;

/// Reads Linux's pressure stall information (`/proc/pressure/memory`).
///
/// The thresholds are those of Android's low-memory daemon (`lmkd`), which acts on the same
/// figures: it calls it *medium* when some task was stalled for 10 % of the time, and *critical*
/// when all were for 7 %. We look at the average of ten seconds where it looks at one.
///
/// `None` when the text is not what the kernel documents.
pub fn from_psi(text: &str) -> Option<Pressure> {
    let some = average_of_ten_seconds(text, "some")?;
    let full = average_of_ten_seconds(text, "full").unwrap_or(0.0);
    Some(if full >= 7.0 {
        Pressure::Critical
    } else if some >= 10.0 {
        Pressure::Warning
    } else {
        Pressure::Normal
    })
}

fn average_of_ten_seconds(text: &str, which: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(which))?
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?
        .parse()
        .ok()
        .filter(|average: &f64| average.is_finite())
}

/// Reads macOS's `kern.memorystatus_vm_pressure_level` (`sys/kern_memorystatus.h`).
pub const fn from_macos_level(level: i32) -> Option<Pressure> {
    match level {
        1 => Some(Pressure::Normal),
        2 => Some(Pressure::Warning),
        4 => Some(Pressure::Critical),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psi(some: &str, full: &str) -> String {
        format!(
            "some avg10={some} avg60=1.10 avg300=0.31 total=5217\n\
             full avg10={full} avg60=0.90 avg300=0.21 total=3919\n"
        )
    }

    #[test]
    fn levels_follow_the_thresholds() {
        assert_eq!(from_psi(&psi("0.00", "0.00")), Some(Pressure::Normal));
        assert_eq!(from_psi(&psi("9.99", "6.99")), Some(Pressure::Normal));
        assert_eq!(from_psi(&psi("10.00", "0.00")), Some(Pressure::Warning));
        assert_eq!(from_psi(&psi("55.20", "7.00")), Some(Pressure::Critical));
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        assert_eq!(from_psi(""), None);
        assert_eq!(from_psi("some avg60=1.0"), None);
        assert_eq!(from_psi(&psi("NaN", "0.00")), None);
        assert_eq!(from_macos_level(0), None);
        assert_eq!(from_macos_level(4), Some(Pressure::Critical));
    }
}

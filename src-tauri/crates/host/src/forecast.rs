//! When a volume will be full, from how its free space went of late.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

/// Free space at a moment: when, and bytes.
pub type Point = (Timestamp, u64);

/// Points span less than this: no trend yet.
const SHORTEST_SPAN: f64 = 3600.0;
/// Fewer points than this: no trend yet.
const FEWEST_POINTS: usize = 6;
/// Further away than this is not "filling".
const FURTHEST_DAYS: f64 = 5.0 * 365.0;

/// Days until free space reaches zero, on the least-squares line through the points.
///
/// `None`: the line is not falling, or falls no faster than its own scatter explains (the slope is
/// within two standard errors of zero), or the points are too few or span less than an hour, or the
/// end is more than five years away.
pub fn days_to_full(points: &[Point]) -> Option<f64> {
    let (last_at, last_free) = *points.iter().max_by_key(|(at, _)| *at)?;
    if points.len() < FEWEST_POINTS {
        return None;
    }
    // Seconds before the last point, and bytes above its free space: small numbers lose nothing.
    let xs = || {
        points
            .iter()
            .map(|(at, _)| at.duration_since(last_at).as_secs_f64())
    };
    let ys = || {
        points
            .iter()
            .map(|(_, free)| *free as f64 - last_free as f64)
    };
    if -xs().fold(0.0, f64::min) < SHORTEST_SPAN {
        return None;
    }
    let count = points.len() as f64;
    let (mean_x, mean_y) = (xs().sum::<f64>() / count, ys().sum::<f64>() / count);
    let (mut sxx, mut sxy) = (0.0, 0.0);
    for (x, y) in xs().zip(ys()) {
        sxx += (x - mean_x).powi(2);
        sxy += (x - mean_x) * (y - mean_y);
    }
    if sxx <= 0.0 {
        return None;
    }
    let slope = sxy / sxx;
    let scatter: f64 = xs()
        .zip(ys())
        .map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2))
        .sum();
    let standard_error = (scatter / (count - 2.0) / sxx).sqrt();
    if slope >= 0.0 || -slope <= 2.0 * standard_error {
        return None;
    }
    let days = last_free as f64 / -slope / 86_400.0;
    (days.is_finite() && days <= FURTHEST_DAYS).then_some(days)
}

/// The points of the last day, thinned to one in ten minutes.
#[derive(Debug, Default, Clone)]
pub struct History {
    points: VecDeque<Point>,
}

impl History {
    const KEEP: Duration = Duration::from_secs(24 * 3600);
    const EVERY: Duration = Duration::from_secs(600);

    /// Adds a point unless one of the last ten minutes is there; drops what is over a day old.
    pub fn push(&mut self, at: Timestamp, free: u64) {
        let due = self
            .points
            .back()
            .is_none_or(|(last, _)| at.duration_since(*last).unsigned_abs() >= Self::EVERY);
        if due {
            // A clock that was set back leaves points in the future: they would never age.
            while self.points.back().is_some_and(|(last, _)| *last > at) {
                self.points.pop_back();
            }
            self.points.push_back((at, free));
        }
        while self
            .points
            .front()
            .is_some_and(|(first, _)| at.duration_since(*first).unsigned_abs() > Self::KEEP)
        {
            self.points.pop_front();
        }
    }

    /// [`days_to_full`] of the kept points and the newest one.
    pub fn days_to_full(&self, at: Timestamp, free: u64) -> Option<f64> {
        let mut points: Vec<Point> = self.points.iter().copied().collect();
        points.push((at, free));
        days_to_full(&points)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    proptest! {
        #[test]
        fn a_straight_line_is_met_exactly(
            free in 1_000_000_000_u64..4_000_000_000_000,
            days in 0.5_f64..1000.0,
            count in 6_i64..200,
        ) {
            // A day of points that end at `free` and fall so that `days` are left.
            let per_second = free as f64 / (days * 86_400.0);
            let points: Vec<_> = (0..count)
                .map(|i| {
                    let back = (count - 1 - i) * 86_400 / count;
                    (at(-back), free + (per_second * back as f64) as u64)
                })
                .collect();
            let told = days_to_full(&points).unwrap();
            prop_assert!((told / days - 1.0).abs() < 0.01, "{told} for {days}");
        }

        #[test]
        fn what_does_not_fall_is_not_filling(
            free in 1_000_000_u64..4_000_000_000_000,
            gain in 0_u64..1_000_000,
            count in 0_i64..200,
        ) {
            let points: Vec<_> = (0..count)
                .map(|i| (at(i * 600), free + gain * i.unsigned_abs()))
                .collect();
            prop_assert_eq!(days_to_full(&points), None);
        }

        #[test]
        fn any_points_give_a_finite_positive_answer_or_none(
            points in proptest::collection::vec((0_i64..100_000, any::<u64>()), 0..50),
        ) {
            let points: Vec<_> = points.into_iter().map(|(t, free)| (at(t), free)).collect();
            if let Some(days) = days_to_full(&points) {
                prop_assert!(days.is_finite() && (0.0..=FURTHEST_DAYS).contains(&days));
            }
        }

        #[test]
        fn noise_without_a_trend_is_not_filling(amplitude in 1_u64..1_000_000) {
            let points: Vec<_> = (0..144)
                .map(|i| (at(i * 600), 1_000_000_000 + if i % 2 == 0 { amplitude } else { 0 }))
                .collect();
            prop_assert_eq!(days_to_full(&points), None);
        }
    }

    #[test]
    fn half_an_hour_is_too_short() {
        let points: Vec<_> = (0..30)
            .map(|i| (at(i * 60), 1_000_000 - i.unsigned_abs()))
            .collect();
        assert_eq!(days_to_full(&points), None);
    }

    #[test]
    fn the_history_keeps_a_day_at_ten_minutes() {
        let mut history = History::default();
        for second in (0..3 * 86_400).step_by(30) {
            history.push(
                at(second),
                1_000_000_000_000 - second.unsigned_abs() * 1_000_000,
            );
        }
        assert!(
            (140..=146).contains(&history.points.len()),
            "{}",
            history.points.len()
        );
        let left = 1_000_000_000_000 - 3 * 86_400 * 1_000_000_u64;
        let days = history.days_to_full(at(3 * 86_400), left).unwrap();
        assert!((days - left as f64 / 86_400e6).abs() < 0.01, "{days}");
    }
}

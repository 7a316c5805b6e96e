//! Exact percentiles by nearest rank: the smallest value that at least a share `q` of all values does not exceed.
//!
//! It is always one of the values themselves, never something between two of them.

/// The 1-based rank of quantile `q` among `count` values; `None` for no values or a `q` that is not in `0.0..=1.0`.
///
/// [`crate::sketch::Sketch::quantile`] uses the same rank, so that the two agree but for the sketch's error.
pub(crate) fn rank(count: u64, q: f64) -> Option<u64> {
    if count == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    // 0.07 × 100 is 7.000000000000001 in floating point: without the correction that would be rank 8.
    let rank = (q * count as f64 * (1.0 - 1e-12)).ceil() as u64;
    Some(rank.clamp(1, count))
}

/// The `q`-quantile (`0.95` for P95) of values sorted in ascending order; `None` for no values or a `q` that is not
/// in `0.0..=1.0`.
pub fn nearest_rank(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = rank(sorted.len() as u64, q)?;
    sorted.get(usize::try_from(rank - 1).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_textbook_example() {
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        for (q, expected) in [
            (0.0, 15.0),
            (0.05, 15.0),
            (0.3, 20.0),
            (0.4, 20.0),
            (0.5, 35.0),
            (1.0, 50.0),
        ] {
            assert_eq!(nearest_rank(&values, q), Some(expected), "{q}");
        }
    }

    #[test]
    fn whole_percents_of_a_hundred_values_are_hit_exactly() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        for percent in 1..=100 {
            let q = f64::from(percent) / 100.0;
            assert_eq!(nearest_rank(&values, q), Some(f64::from(percent)), "{q}");
        }
    }

    #[test]
    fn what_is_no_quantile_has_no_answer() {
        assert_eq!(nearest_rank(&[], 0.5), None);
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(nearest_rank(&[1.0], q), None, "{q}");
        }
    }
}

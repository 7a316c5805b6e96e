//! Reduces buckets to the points a screen can show. Pure.
//!
//! A point is the mean of what was measured in its stretch of time, weighted by samples: a mean of
//! means over unequal buckets would lie. Short peaks of the processor stay visible in a column of
//! their own, `cpu_percent_max`.

use std::collections::BTreeMap;

use cockpit_model::host::Series;

use crate::bucket::Bucket;
use crate::tiers::Plan;

/// Collects buckets into the points of a plan.
#[derive(Debug)]
pub struct Points {
    plan: Plan,
    slots: Vec<Option<Bucket>>,
}

impl Points {
    /// No points yet.
    pub fn new(plan: Plan) -> Self {
        Self {
            slots: vec![None; plan.count],
            plan,
        }
    }

    /// Adds a bucket that begins at `at` (Unix seconds); one outside the window is left out.
    pub fn add(&mut self, at: i64, bucket: &Bucket) {
        let slot = usize::try_from((at - self.plan.first).div_euclid(self.plan.step))
            .ok()
            .and_then(|slot| self.slots.get_mut(slot));
        match slot {
            Some(Some(sum)) => sum.merge(bucket),
            Some(empty) => *empty = Some(bucket.clone()),
            None => {}
        }
    }

    /// The columns. `names` gives each service's name.
    pub fn finish(mut self, names: &BTreeMap<u32, String>) -> Series {
        if self.plan.step == 1 {
            self.bridge_single_seconds();
        }
        let services: BTreeMap<u32, &String> = self
            .slots
            .iter()
            .flatten()
            .flat_map(|bucket| bucket.services.keys())
            .filter_map(|id| Some((*id, names.get(id)?)))
            .collect();
        let mut values = BTreeMap::new();
        let mut column = |name: String, value: &dyn Fn(&Bucket) -> Option<f64>| {
            let points = self
                .slots
                .iter()
                .map(|slot| slot.as_ref().and_then(value).map(tidy))
                .collect();
            values.insert(name, points);
        };
        type Sum = fn(&Bucket) -> f64;
        let fixed: [(&str, Sum); 7] = [
            ("cpu_percent", |bucket| bucket.cpu),
            ("memory_used_bytes", |bucket| bucket.memory),
            ("swap_used_bytes", |bucket| bucket.swap),
            ("rx_bytes_per_s", |bucket| bucket.rx),
            ("tx_bytes_per_s", |bucket| bucket.tx),
            ("cockpit_cpu_percent", |bucket| bucket.own_cpu),
            ("cockpit_memory_bytes", |bucket| bucket.own_memory),
        ];
        for (name, sum) in fixed {
            column(name.to_owned(), &|bucket| mean(sum(bucket), bucket.n));
        }
        column("cpu_percent_max".to_owned(), &|bucket| {
            (bucket.n > 0).then_some(bucket.cpu_max)
        });
        column("gpu_percent".to_owned(), &|bucket| {
            mean(bucket.gpu, bucket.gpu_n)
        });
        for (id, name) in services {
            column(format!("service.{name}.cpu_percent"), &|bucket| {
                bucket
                    .services
                    .get(&id)
                    .and_then(|used| mean(used.cpu, used.n))
            });
            column(format!("service.{name}.memory_bytes"), &|bucket| {
                bucket
                    .services
                    .get(&id)
                    .and_then(|used| mean(used.memory, used.n))
            });
        }
        Series {
            step_ms: u64::try_from(self.plan.step)
                .unwrap_or(0)
                .saturating_mul(1000),
            at_ms: (self.plan.first..)
                .step_by(usize::try_from(self.plan.step).unwrap_or(1).max(1))
                .take(self.plan.count)
                .map(|second| second.saturating_mul(1000))
                .collect(),
            values,
        }
    }

    /// Two samples a second apart, less a little, may fall into one second and leave the next one empty:
    /// that is not a gap in what was measured. Longer ones are.
    fn bridge_single_seconds(&mut self) {
        for middle in 1..self.slots.len() {
            if let Some([Some(before), hole @ None, Some(_)]) =
                self.slots.get_mut(middle - 1..=middle + 1)
            {
                *hole = Some(before.clone());
            }
        }
    }
}

fn mean(sum: f64, n: u32) -> Option<f64> {
    (n > 0)
        .then(|| sum / f64::from(n))
        .filter(|mean| mean.is_finite())
}

/// Two decimals are more than was measured, and a third of the bytes on the wire.
fn tidy(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        missing_docs,
        reason = "tests"
    )]
    use std::time::Duration;

    use super::*;
    use crate::tiers::plan;
    use proptest::prelude::*;

    fn bucket(cpu: f64) -> Bucket {
        Bucket {
            n: 1,
            cpu,
            cpu_max: cpu,
            ..Bucket::default()
        }
    }

    #[test]
    fn one_empty_second_is_bridged_and_two_are_a_gap() {
        let mut points = Points::new(plan(Duration::from_secs(8), 100, 1_007).unwrap());
        for at in [1_000, 1_001, 1_003, 1_006] {
            points.add(at, &bucket(at as f64 - 1_000.0));
        }
        let series = points.finish(&BTreeMap::new());
        assert_eq!(series.at_ms[0], 1_000_000);
        assert_eq!(
            series.values["cpu_percent"],
            [
                Some(0.0),
                Some(1.0),
                Some(1.0),
                Some(3.0),
                None,
                None,
                Some(6.0),
                None
            ]
        );
    }

    proptest! {
        #[test]
        fn reducing_never_exceeds_the_points_nor_the_bounds(
            window in 1_u64..4_000_000,
            max_points in 1_usize..500,
            now in 10_000_000_i64..2_000_000_000,
            samples in proptest::collection::vec((0_i64..4_000_000, 0.0_f64..100.0), 0..300),
        ) {
            let mut points = Points::new(plan(Duration::from_secs(window), max_points, now).unwrap());
            for (back, cpu) in &samples {
                points.add(now - back, &bucket(*cpu));
            }
            let series = points.finish(&BTreeMap::new());
            prop_assert!(series.at_ms.len() <= max_points);
            prop_assert!(series.values.values().all(|column| column.len() == series.at_ms.len()));
            let inside: Vec<f64> = samples
                .iter()
                .filter(|(back, _)| (now - back) * 1000 >= series.at_ms[0])
                .map(|(_, cpu)| *cpu)
                .collect();
            let low = inside.iter().copied().fold(f64::INFINITY, f64::min) - 0.01;
            let high = inside.iter().copied().fold(0.0, f64::max) + 0.01;
            let column = &series.values["cpu_percent"];
            prop_assert_eq!(column.iter().any(Option::is_some), !inside.is_empty());
            prop_assert!(column.iter().flatten().all(|value| (low..=high).contains(value)));
            let largest = series.values["cpu_percent_max"].iter().flatten().copied().fold(0.0, f64::max);
            prop_assert!(inside.is_empty() || (largest - (high - 0.01)).abs() <= 0.01);
        }
    }
}

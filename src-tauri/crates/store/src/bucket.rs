//! Samples summed over a stretch of time, in every tier at once. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::tiers::{TIERS, Tier};

/// What of one sample is kept. Services and volumes are known by number here.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Unix seconds.
    pub at: i64,
    /// 0–100.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
    /// Bytes.
    pub swap: f64,
    /// Bytes a second.
    pub rx: f64,
    /// Bytes a second.
    pub tx: f64,
    /// 0–100, where there is one that tells.
    pub gpu: Option<f64>,
    /// 100 = one core.
    pub own_cpu: f64,
    /// Bytes.
    pub own_memory: f64,
    /// Processor use and memory of each service, all its instances together.
    pub services: BTreeMap<u32, (f64, f64)>,
    /// Free bytes of each volume.
    pub disks: BTreeMap<u32, u64>,
}

/// Sums over `n` samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bucket {
    /// Samples.
    pub n: u32,
    /// Sum.
    pub cpu: f64,
    /// Largest.
    pub cpu_max: f64,
    /// Sum.
    pub memory: f64,
    /// Largest.
    pub memory_max: f64,
    /// Sum.
    pub swap: f64,
    /// Sum.
    pub rx: f64,
    /// Sum.
    pub tx: f64,
    /// Samples that had a figure for the graphics processor.
    pub gpu_n: u32,
    /// Sum over those.
    pub gpu: f64,
    /// Sum.
    pub own_cpu: f64,
    /// Sum.
    pub own_memory: f64,
    /// Each service's own sums.
    pub services: BTreeMap<u32, Use>,
    /// Each volume's free bytes, as of the last sample that had them.
    pub disks: BTreeMap<u32, u64>,
}

/// Sums over the `n` samples in which a service ran.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Use {
    /// Samples.
    pub n: u32,
    /// Sum.
    pub cpu: f64,
    /// Sum.
    pub memory: f64,
}

impl Bucket {
    /// Adds one sample.
    pub fn add(&mut self, sample: &Sample) {
        self.n += 1;
        self.cpu += sample.cpu;
        self.cpu_max = self.cpu_max.max(sample.cpu);
        self.memory += sample.memory;
        self.memory_max = self.memory_max.max(sample.memory);
        self.swap += sample.swap;
        self.rx += sample.rx;
        self.tx += sample.tx;
        if let Some(gpu) = sample.gpu {
            self.gpu_n += 1;
            self.gpu += gpu;
        }
        self.own_cpu += sample.own_cpu;
        self.own_memory += sample.own_memory;
        for (id, (cpu, memory)) in &sample.services {
            let used = self.services.entry(*id).or_default();
            used.n += 1;
            used.cpu += cpu;
            used.memory += memory;
        }
        self.disks.extend(&sample.disks);
    }

    /// Adds all of a later bucket.
    pub fn merge(&mut self, later: &Self) {
        self.n = self.n.saturating_add(later.n);
        self.cpu += later.cpu;
        self.cpu_max = self.cpu_max.max(later.cpu_max);
        self.memory += later.memory;
        self.memory_max = self.memory_max.max(later.memory_max);
        self.swap += later.swap;
        self.rx += later.rx;
        self.tx += later.tx;
        self.gpu_n = self.gpu_n.saturating_add(later.gpu_n);
        self.gpu += later.gpu;
        self.own_cpu += later.own_cpu;
        self.own_memory += later.own_memory;
        for (id, other) in &later.services {
            let used = self.services.entry(*id).or_default();
            used.n = used.n.saturating_add(other.n);
            used.cpu += other.cpu;
            used.memory += other.memory;
        }
        self.disks.extend(&later.disks);
    }
}

/// The open bucket of every tier, and those that were closed and are not on the disk yet.
#[derive(Debug, Default)]
pub struct Rollup {
    open: [Option<(i64, Bucket)>; TIERS.len()],
    newest: [Option<i64>; TIERS.len()],
    closed: Vec<Closed>,
}

/// A bucket with nothing more to come, save after a clock was set back.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// Its tier's place in [`TIERS`].
    pub tier: usize,
    /// Its first second.
    pub at: i64,
    /// What is in it.
    pub bucket: Bucket,
}

impl Rollup {
    /// Tells what is on the disk: the newest bucket's time of each tier.
    pub fn on_disk(&mut self, newest: [Option<i64>; TIERS.len()]) {
        for (known, newest) in self.newest.iter_mut().zip(newest) {
            *known = (*known).max(newest);
        }
    }

    /// Adds a sample to the bucket of each tier it falls into. `load` answers what the disk has of a
    /// bucket; it is asked only for buckets that may be there: after a restart, or when the clock
    /// was set back.
    pub fn push(&mut self, sample: &Sample, mut load: impl FnMut(&Tier, i64) -> Option<Bucket>) {
        for (place, tier) in TIERS.iter().enumerate() {
            let at = sample.at.div_euclid(tier.step) * tier.step;
            let (Some(open), Some(newest)) = (self.open.get_mut(place), self.newest.get_mut(place))
            else {
                continue;
            };
            match open {
                Some((opened, bucket)) if *opened == at => bucket.add(sample),
                _ => {
                    if let Some((at, bucket)) = open.take() {
                        self.closed.push(Closed {
                            tier: place,
                            at,
                            bucket,
                        });
                    }
                    let mut bucket = if newest.is_some_and(|newest| at <= newest) {
                        let pending = self
                            .closed
                            .iter()
                            .position(|closed| closed.tier == place && closed.at == at);
                        match pending {
                            Some(index) => self.closed.swap_remove(index).bucket,
                            None => load(tier, at).unwrap_or_default(),
                        }
                    } else {
                        Bucket::default()
                    };
                    *newest = Some(newest.map_or(at, |newest| newest.max(at)));
                    bucket.add(sample);
                    *open = Some((at, bucket));
                }
            }
        }
    }

    /// Everything that differs from what is on the disk: closed buckets and the open ones so far.
    pub fn unwritten(&self) -> impl Iterator<Item = (&'static Tier, i64, &Bucket)> {
        let closed = self
            .closed
            .iter()
            .filter_map(|closed| Some((TIERS.get(closed.tier)?, closed.at, &closed.bucket)));
        let open = TIERS
            .iter()
            .zip(&self.open)
            .filter_map(|(tier, open)| open.as_ref().map(|(at, bucket)| (tier, *at, bucket)));
        closed.chain(open)
    }

    /// All of [`Self::unwritten`] is on the disk now.
    pub fn written(&mut self) {
        self.closed.clear();
    }

    /// Gives services and volumes other numbers.
    pub fn renumber(&mut self, numbers: &HashMap<u32, u32>) {
        let open = self.open.iter_mut().flatten().map(|(_, bucket)| bucket);
        let closed = self.closed.iter_mut().map(|closed| &mut closed.bucket);
        for bucket in open.chain(closed) {
            let number = |id: u32| numbers.get(&id).copied().unwrap_or(id);
            bucket.services = std::mem::take(&mut bucket.services)
                .into_iter()
                .map(|(id, used)| (number(id), used))
                .collect();
            bucket.disks = std::mem::take(&mut bucket.disks)
                .into_iter()
                .map(|(id, free)| (number(id), free))
                .collect();
        }
    }

    /// Drops closed buckets beyond `most`, the finest and oldest first; says how many.
    pub fn shed(&mut self, most: usize) -> usize {
        let excess = self.closed.len().saturating_sub(most);
        if excess > 0 {
            self.closed.sort_by_key(|closed| (closed.tier, closed.at));
            self.closed.drain(..excess);
        }
        excess
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn sample(at: i64, cpu: f64) -> Sample {
        Sample {
            at,
            cpu,
            services: BTreeMap::from([(1, (cpu * 2.0, 1024.0))]),
            ..Sample::default()
        }
    }

    #[test]
    fn a_clock_set_back_continues_the_bucket_that_is_pending() {
        let mut rollup = Rollup::default();
        for at in [100, 101, 100] {
            rollup.push(&sample(at, 10.0), |_, _| panic!("nothing is on the disk"));
        }
        let seconds: Vec<_> = rollup
            .unwritten()
            .filter(|(tier, ..)| tier.step == 1)
            .map(|(_, at, bucket)| (at, bucket.n))
            .collect();
        assert_eq!(seconds, [(101, 1), (100, 2)]);
    }

    #[test]
    fn shedding_keeps_the_coarse_and_the_new() {
        let mut rollup = Rollup::default();
        for at in 0..100 {
            rollup.push(&sample(at, 1.0), |_, _| None);
        }
        let before = rollup.closed.len();
        assert_eq!(rollup.shed(20), before - 20);
        assert!(
            rollup
                .closed
                .iter()
                .filter(|closed| closed.tier == 1)
                .count()
                == 9
        );
        let oldest = rollup
            .closed
            .iter()
            .filter(|closed| closed.tier == 0)
            .map(|closed| closed.at)
            .min();
        assert_eq!(oldest, Some(89));
    }

    proptest! {
        /// However the samples come, and wherever the process is interrupted and begun again from
        /// what it wrote, every tier holds every sample exactly once.
        #[test]
        fn every_sample_is_in_every_tier_once(
            steps in proptest::collection::vec((-30_i64..90, 0.0_f64..100.0, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let mut disk: BTreeMap<(i64, i64), Bucket> = BTreeMap::new();
            let mut rollup = Rollup::default();
            let mut at = 1_700_000_000_i64;
            let mut total = 0.0;
            for (step, cpu, commit, restart) in &steps {
                at += step;
                total += cpu;
                rollup.push(&sample(at, *cpu), |tier, at| disk.get(&(tier.step, at)).cloned());
                if *commit || *restart {
                    for (tier, at, bucket) in rollup.unwritten() {
                        disk.insert((tier.step, at), bucket.clone());
                    }
                    rollup.written();
                }
                if *restart {
                    let newest = TIERS.map(|tier| {
                        disk.keys().filter(|(step, _)| *step == tier.step).map(|(_, at)| *at).max()
                    });
                    rollup = Rollup::default();
                    rollup.on_disk(newest);
                }
            }
            for (tier, at, bucket) in rollup.unwritten() {
                disk.insert((tier.step, at), bucket.clone());
            }
            for tier in TIERS {
                let (n, sum) = disk
                    .iter()
                    .filter(|((step, _), _)| *step == tier.step)
                    .fold((0, 0.0), |(n, sum), (_, bucket)| (n + bucket.n as usize, sum + bucket.cpu));
                prop_assert_eq!(n, steps.len());
                prop_assert!((sum - total).abs() < 1e-6);
            }
        }
    }
}

//! Numbers of seven bits a byte, and the compact form of per-service and per-volume figures made of them.

use std::collections::BTreeMap;

use crate::bucket::Use;

/// Appends a number: seven bits a byte, the lowest first.
pub(crate) fn put(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Takes such a number off the front.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Services: id, samples, mean processor use in hundredths of a percent, mean memory in KiB.
pub(crate) fn services(services: &BTreeMap<u32, Use>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(services.len() * 10);
    for (id, used) in services {
        let n = f64::from(used.n.max(1));
        put(u64::from(*id), &mut bytes);
        put(u64::from(used.n), &mut bytes);
        put((used.cpu / n * 100.0).round() as u64, &mut bytes);
        put((used.memory / n / 1024.0).round() as u64, &mut bytes);
    }
    bytes
}

/// Reads what [`services`] wrote; stops at the first thing that makes no sense.
pub(crate) fn read_services(mut bytes: &[u8]) -> BTreeMap<u32, Use> {
    let mut services = BTreeMap::new();
    let mut one = || {
        let id = u32::try_from(take(&mut bytes)?).ok()?;
        let n = u32::try_from(take(&mut bytes)?).ok()?;
        let cpu = take(&mut bytes)? as f64 / 100.0 * f64::from(n);
        let memory = take(&mut bytes)? as f64 * 1024.0 * f64::from(n);
        Some((id, Use { n, cpu, memory }))
    };
    while let Some((id, used)) = one() {
        services.insert(id, used);
    }
    services
}

/// Volumes: id, free KiB.
pub(crate) fn disks(disks: &BTreeMap<u32, u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(disks.len() * 7);
    for (id, free) in disks {
        put(u64::from(*id), &mut bytes);
        put(free / 1024, &mut bytes);
    }
    bytes
}

/// Reads what [`disks`] wrote.
pub(crate) fn read_disks(mut bytes: &[u8]) -> BTreeMap<u32, u64> {
    let mut disks = BTreeMap::new();
    while let (Some(id), Some(free)) = (take(&mut bytes), take(&mut bytes)) {
        if let Ok(id) = u32::try_from(id) {
            disks.insert(id, free.saturating_mul(1024));
        }
    }
    disks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            written in proptest::collection::btree_map(
                any::<u32>(),
                (1_u32..4_000, 0_u32..1_000_000, 0_u64..1 << 40),
                0..20,
            ),
        ) {
            let written: BTreeMap<u32, Use> = written
                .into_iter()
                .map(|(id, (n, cpu, kib))| {
                    let n_f = f64::from(n);
                    (id, Use { n, cpu: f64::from(cpu) / 100.0 * n_f, memory: kib as f64 * 1024.0 * n_f })
                })
                .collect();
            let read = read_services(&services(&written));
            prop_assert_eq!(read.len(), written.len());
            for (id, used) in &written {
                let found = read.get(id).copied().unwrap_or_default();
                prop_assert_eq!(found.n, used.n);
                prop_assert!((found.cpu - used.cpu).abs() <= 1e-6 * used.cpu.max(1.0));
                prop_assert!((found.memory - used.memory).abs() <= 1e-6 * used.memory.max(1.0));
            }
        }

        #[test]
        fn volumes_round_to_a_kib(written in proptest::collection::btree_map(any::<u32>(), any::<u64>(), 0..20)) {
            let read = read_disks(&disks(&written));
            prop_assert_eq!(read.len(), written.len());
            for (id, free) in &written {
                prop_assert_eq!(read.get(id).copied(), Some(free / 1024 * 1024));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read_services(&bytes);
            read_disks(&bytes);
        }
    }
}

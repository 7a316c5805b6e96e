//! Memory by user.

use std::collections::BTreeMap;

use cockpit_model::host::Split;

/// Resident memory of one instance's tree.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    /// Its service.
    pub service: &'a str,
    /// Whether it serves models.
    pub is_model_server: bool,
    /// Bytes.
    pub memory: u64,
}

/// Splits the machine's memory into models, services, other and free, which sum to `total`.
///
/// Resident sizes count shared pages once for each process that has them, so the sum of all trees
/// can exceed what is in use; then services give way to models, and `other` is what remains.
/// `by_service` is each service's own sum, unclipped.
pub fn split(total: u64, free: u64, trees: &[Tree<'_>]) -> Split {
    let free_bytes = free.min(total);
    let used = total - free_bytes;
    let (mut models, mut services) = (0_u64, 0_u64);
    let mut by_service = BTreeMap::<String, u64>::new();
    for tree in trees {
        let part = if tree.is_model_server {
            &mut models
        } else {
            &mut services
        };
        *part = part.saturating_add(tree.memory);
        let own = by_service.entry(tree.service.to_owned()).or_default();
        *own = own.saturating_add(tree.memory);
    }
    let models_bytes = models.min(used);
    let services_bytes = services.min(used - models_bytes);
    Split {
        models_bytes,
        services_bytes,
        other_bytes: used - models_bytes - services_bytes,
        free_bytes,
        by_service,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instances_of_a_service_are_summed() {
        let tree = |service, is_model_server, memory| Tree {
            service,
            is_model_server,
            memory,
        };
        let split = split(
            100,
            30,
            &[
                tree("ollama", true, 20),
                tree("api", false, 5),
                tree("api", false, 7),
            ],
        );
        assert_eq!(
            (
                split.models_bytes,
                split.services_bytes,
                split.other_bytes,
                split.free_bytes
            ),
            (20, 12, 38, 30)
        );
        assert_eq!(split.by_service.get("api"), Some(&12));
    }

    proptest! {
        #[test]
        fn it_always_sums_to_the_total(
            total in any::<u64>(),
            free in any::<u64>(),
            trees in proptest::collection::vec((any::<bool>(), any::<u64>()), 0..6),
        ) {
            let trees: Vec<_> = trees
                .into_iter()
                .map(|(is_model_server, memory)| Tree { service: "s", is_model_server, memory })
                .collect();
            let split = split(total, free, &trees);
            let sum = u128::from(split.models_bytes)
                + u128::from(split.services_bytes)
                + u128::from(split.other_bytes)
                + u128::from(split.free_bytes);
            prop_assert_eq!(sum, u128::from(total));
        }
    }
}

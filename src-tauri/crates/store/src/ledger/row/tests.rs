#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::collections::HashMap;
use std::convert::Infallible;

use cockpit_model::Timestamp;
use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z/]{1,8}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9a-f]{0,32}",
        "\\PC{0,10}",
    ]
}

prop_compose! {
    fn call()(
        texts in proptest::collection::vec(name(), 4),
        options in proptest::collection::vec(proptest::option::of(name()), 8),
        numbers in proptest::collection::vec(proptest::option::of(0_u64..1 << 50), 7),
        tags in proptest::collection::vec(name(), 0..4),
        at in 0_i64..4_000_000_000_000_000_000,
        (source, operation, outcome) in (0_usize..3, 0_usize..4, 0_usize..3),
        (streamed, fallback, cache_hit, derived) in any::<(bool, bool, bool, bool)>(),
        (status, attempts) in (proptest::option::of(any::<u16>()), any::<u32>()),
    ) -> Call {
        let text = |n: usize| texts[n].clone();
        let option = |n: usize| options[n].clone();
        let target = if derived { format!("{}/{}", text(1), text(2)) } else { text(3) };
        Call {
            id: text(0),
            at: Timestamp::from_nanosecond(i128::from(at)).unwrap(),
            source: SOURCES[source],
            provider: text(1),
            model: text(2),
            target,
            requested_model: option(0),
            route: option(1),
            operation: OPERATIONS[operation],
            outcome: OUTCOMES[outcome],
            error: option(2),
            status,
            finish_reason: option(3),
            user: option(4),
            agent: option(5),
            key: option(6),
            tags,
            input_tokens: numbers[0],
            output_tokens: numbers[1],
            cached_input_tokens: numbers[2],
            cache_write_tokens: numbers[3],
            latency_ms: numbers[4].map(millis),
            ttft_ms: numbers[5].map(millis),
            streamed,
            attempts,
            fallback,
            cache_hit,
            cost_usd: numbers[6].map(|pico| Usd::from_pico(i64::try_from(pico).unwrap())),
            price_version: option(7),
        }
    }
}

proptest! {
    #[test]
    fn a_call_comes_back(call in call()) {
        let mut numbers = HashMap::<String, u32>::new();
        let (row, tags) = Row::of(&call, |name| {
            let next = u32::try_from(numbers.len()).unwrap();
            Ok::<_, Infallible>(*numbers.entry(name.to_owned()).or_insert(next))
        })
        .unwrap();
        let mut bytes = Vec::new();
        row.encode(&tags, &call.id, &mut bytes);
        let names: HashMap<u32, String> = numbers.into_iter().map(|(name, n)| (n, name)).collect();
        let (read, rest) = Row::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &row);
        let (ms, _) = super::super::key::split(call.at);
        let again = read
            .call(ms, &rest.read().unwrap(), |n| Ok::<_, Infallible>(names[&n].clone()))
            .unwrap();
        prop_assert_eq!(again, call);
    }

    #[test]
    fn junk_is_no_call(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Some((_, rest)) = Row::decode(&bytes) {
            drop(rest.read());
        }
    }
}

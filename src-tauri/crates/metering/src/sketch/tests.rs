#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use proptest::prelude::*;

use super::*;
use crate::percentile::nearest_rank;

fn of(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::new();
    for &value in values {
        sketch.add(value);
    }
    sketch
}

fn encoded(sketch: &Sketch) -> Vec<u8> {
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    bytes
}

/// Values all over the range that the error is promised for, zeros among them, some many times.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        1 => Just(0.0),
        8 => (-3.0..9.0f64).prop_map(|exponent| 10f64.powf(exponent)),
        4 => 100.0..200.0f64,
        1 => Just(250.0),
    ];
    prop::collection::vec(value, 0..400)
}

#[test]
fn the_constants_belong_together() {
    let alpha = 0.01;
    let gamma: f64 = (1.0 + alpha) / (1.0 - alpha);
    assert!((LN_GAMMA - gamma.ln()).abs() < 1e-16, "{:.20}", gamma.ln());
    assert!((CENTRE - 2.0 / (gamma + 1.0)).abs() < 1e-15);
    assert!(centre(BINS - 1) > 1e9 && MIN < 1e-3);
}

#[test]
fn an_empty_sketch_knows_nothing() {
    assert_eq!(Sketch::new().quantile(0.5), None);
    assert_eq!(Sketch::decode(&encoded(&Sketch::new())), Ok(Sketch::new()));
}

#[test]
fn values_outside_of_the_range_are_counted_at_its_ends() {
    let sketch = of(&[
        -5.0,
        0.0,
        1e-300,
        1e300,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ]);
    assert_eq!(sketch.count(), 4);
    assert_eq!(sketch.quantile(0.75), Some(0.0));
    assert!(sketch.quantile(1.0).unwrap() > 1e11);
}

#[test]
fn few_values_take_few_bytes() {
    let few = of(&[120.0, 130.0, 500.0]);
    assert!(encoded(&few).len() <= 8, "{:?}", encoded(&few));
    let many = of(&(0..100_000)
        .map(|n| 100.0 + f64::from(n) / 100.0)
        .collect::<Vec<_>>());
    assert!(
        encoded(&many).len() <= 2 * many.bins.len() + 4,
        "{}",
        encoded(&many).len()
    );
}

#[test]
fn junk_is_corrupt() {
    for junk in [
        &[][..],
        &[0],
        &[0, 2],
        // A bin beyond the last, a count that is missing, a count of none, a varint without an end.
        &[0, SPARSE, 0xff, 0x7f],
        &[0, SPARSE, 2],
        &[0, SPARSE, 2, 0],
        &[0x80; 12],
        // More values than a u64 counts.
        &[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, SPARSE, 1,
        ],
    ] {
        assert_eq!(Sketch::decode(junk), Err(Corrupt), "{junk:?}");
    }
    let mut sketch = of(&[1.0]);
    assert_eq!(sketch.merge_encoded(&[9]), Err(Corrupt));
    assert_eq!(sketch, of(&[1.0]));
}

#[test]
fn more_bins_than_there_are_is_corrupt() {
    let mut bytes = vec![0, DENSE, 0];
    bytes.extend([1; BINS as usize]);
    assert_eq!(Sketch::decode(&bytes).unwrap().count(), u64::from(BINS));
    bytes.push(1);
    assert_eq!(Sketch::decode(&bytes), Err(Corrupt));
}

proptest! {
    #[test]
    fn a_quantile_is_within_one_percent_of_the_nearest_rank(mut values in values(), q in 0.0..=1.0f64) {
        let sketch = of(&values);
        values.sort_by(f64::total_cmp);
        prop_assert_eq!(sketch.count(), values.len() as u64);
        for q in [q, 0.0, 0.5, 0.95, 0.99, 1.0] {
            match (sketch.quantile(q), nearest_rank(&values, q)) {
                (Some(told), Some(exact)) => prop_assert!(
                    (told - exact).abs() <= exact * 0.010_000_001,
                    "{q}: {told} for {exact}"
                ),
                (told, exact) => prop_assert_eq!(told, exact),
            }
        }
    }

    #[test]
    fn a_merge_is_the_sketch_of_all(a in values(), b in values()) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        let mut reversed = of(&b);
        reversed.merge_encoded(&encoded(&of(&a))).unwrap();
        prop_assert_eq!(&merged, &of(&[a, b].concat()));
        prop_assert_eq!(merged, reversed);
    }

    #[test]
    fn what_is_taken_off_was_never_there(kept in values(), taken in values(), more in values()) {
        let mut dense = Dense::default();
        for piece in [&kept, &taken] {
            dense.merge_encoded(&encoded(&of(piece))).unwrap();
        }
        dense.take_encoded(&encoded(&of(&taken))).unwrap();
        prop_assert_eq!(&Sketch::from(&dense), &of(&kept));
        let quantiles = dense.quantiles([0.5, 0.95, 0.99]);
        prop_assert_eq!(quantiles, [0.5, 0.95, 0.99].map(|q| of(&kept).quantile(q)));
        let too_much = [&kept[..], &more, &[250.0]].concat();
        prop_assert_eq!(dense.take_encoded(&encoded(&of(&too_much))), Err(Corrupt));
    }

    #[test]
    fn the_dense_sum_is_the_same_sketch(
        before in values(),
        pieces in prop::collection::vec(values(), 0..6),
        q in 0.0..=1.0f64,
        more in 0.0..=1.0f64,
    ) {
        let mut sum = Dense::default();
        before.iter().for_each(|value| sum.add(*value));
        sum.clear();
        for (place, piece) in pieces.iter().enumerate() {
            if place % 3 == 0 {
                piece.iter().for_each(|value| sum.add(*value));
            } else {
                let mut other = Dense::default();
                other.merge_encoded(&encoded(&of(piece))).unwrap();
                sum.merge(&other);
            }
        }
        let whole = of(&pieces.concat());
        prop_assert_eq!(&Sketch::from(&sum), &whole);
        let ascending = [q, q, q + (1.0 - q) * more];
        prop_assert_eq!(sum.quantiles(ascending), ascending.map(|q| whole.quantile(q)));
    }

    #[test]
    fn the_dense_sum_takes_what_decodes_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(Dense::default().merge_encoded(&bytes).is_err() && Sketch::decode(&bytes).is_ok(), false);
    }

    #[test]
    fn what_is_encoded_comes_back(values in values(), copies in 0..70usize) {
        let mut sketch = of(&values);
        // Counts of more than one byte.
        for _ in 0..copies {
            let twice = sketch.clone();
            sketch.merge(&twice);
            if sketch.count() > u64::MAX / 4 {
                break;
            }
        }
        prop_assert_eq!(Sketch::decode(&encoded(&sketch)), Ok(sketch));
    }

    #[test]
    fn the_shorter_layout_is_written(values in values()) {
        let sketch = of(&values);
        let bytes = encoded(&sketch);
        if !sketch.bins.is_empty() {
            let mut dense = Vec::new();
            sketch.encode_dense(&mut dense);
            prop_assert_eq!(dense.len(), sketch.dense_length());
            prop_assert!(bytes.len() <= varint_length(sketch.zeros) + 1 + dense.len());
        }
    }

    #[test]
    fn junk_never_panics_and_what_decodes_survives(bytes in prop::collection::vec(any::<u8>(), 0..200), dense: bool) {
        let mut bytes = bytes;
        if let Some(layout) = bytes.get_mut(1) {
            *layout = u8::from(dense);
        }
        if let Ok(sketch) = Sketch::decode(&bytes) {
            prop_assert!(sketch.is_empty() || sketch.quantile(0.5).is_some());
            prop_assert_eq!(Sketch::decode(&encoded(&sketch)), Ok(sketch));
        }
    }
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::path::Path;

use proptest::prelude::*;

use super::super::record::{write_head, write_time};
use super::super::writer::rotated;
use super::*;

/// Reads everything forwards.
fn naive(files: &[Vec<u8>], n: usize, filter: Option<&str>) -> Vec<Line> {
    let mut joiner = Joiner::default();
    let mut lines = Vec::new();
    for file in files {
        for line in file.split(|&b| b == b'\n') {
            lines.extend(joiner.push(line));
        }
    }
    lines.retain(|l| filter.is_none_or(|f| l.text.to_lowercase().contains(&f.to_lowercase())));
    lines.split_off(lines.len().saturating_sub(n))
}

fn lay(path: &Path, files: &[Vec<u8>]) {
    for (i, bytes) in files.iter().rev().enumerate() {
        let name = if i == 0 {
            path.to_owned()
        } else {
            rotated(path, u32::try_from(i).unwrap())
        };
        std::fs::write(name, bytes).unwrap();
    }
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "[abAB ]{0,12}".prop_map(String::into_bytes),
        "[äöÄßK]{0,5}".prop_map(String::into_bytes),
        Just(vec![b'x'; 20_000]),
        prop::collection::vec(any::<u8>().prop_filter("newline", |b| *b != b'\n'), 0..9),
    ];
    let streams = prop::sample::select(vec![Stream::Stdout, Stream::Stderr, Stream::Cockpit]);
    let good = (streams, prop::bool::weighted(0.3), text, 0..9_i64).prop_map(
        |(stream, partial, text, at)| {
            let (mut time, mut line) = (Vec::new(), Vec::new());
            write_time(at * 1_000_000_007, &mut time);
            write_head(&time, stream, partial, &mut line);
            line.extend(text);
            line.push(b'\n');
            line
        },
    );
    let damaged = prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![9 => good, 1 => damaged]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_tail_is_what_a_naive_reader_reads(
        mut files in prop::collection::vec(prop::collection::vec(record(), 0..12).prop_map(|r| r.concat()), 1..4),
        n in 0..12_usize,
        filter in prop::option::of("[aBÄk]{0,2}"),
    ) {
        // The bytes after the last newline of the live file are a line that is still being written.
        let live = files.last_mut().unwrap();
        live.truncate(live.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        lay(&path, &files);
        let tail = tail(&path, n, filter.as_deref()).unwrap();
        prop_assert_eq!(tail.lines, naive(&files, n, filter.as_deref()));
    }

    #[test]
    fn a_follower_from_the_start_reads_everything(
        mut files in prop::collection::vec(prop::collection::vec(record(), 0..12).prop_map(|r| r.concat()), 1..4),
    ) {
        for file in &mut files {
            file.truncate(file.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        lay(&path, &files);
        let mut follow = Follow::from(&path, Position::start());
        let mut lines = Vec::new();
        loop {
            let more = follow.more().unwrap();
            if more.is_empty() {
                break;
            }
            lines.extend(more);
        }
        prop_assert_eq!(lines, naive(&files, usize::MAX, None));
    }

    #[test]
    fn any_bytes_are_a_log(bytes: Vec<u8>) {
        fuzz(&bytes);
    }
}

#[test]
fn a_line_of_gigabytes_costs_a_megabyte() {
    let mut joiner = Joiner::default();
    let part = [
        b"1970-01-01T00:00:00.000000000Z stdout P ".to_vec(),
        vec![b'x'; 16_384],
    ]
    .concat();
    for _ in 0..200 {
        assert_eq!(joiner.push(&part), None);
    }
    let line = joiner
        .push(b"1970-01-01T00:00:00.000000000Z stdout F end")
        .unwrap();
    assert_eq!(line.text.len(), MAX_LINE);
}

#[test]
fn a_file_without_newlines_is_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.log");
    std::fs::write(&path, vec![b'x'; 3_000_000]).unwrap();
    assert!(tail(&path, 5, None).unwrap().lines.is_empty());
}

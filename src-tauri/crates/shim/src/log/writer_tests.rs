#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::path::Path;

use proptest::prelude::*;

use super::super::reader::tail;
use super::*;

fn spec(path: &Path, max_size: u64, keep: u32) -> LogSpec {
    LogSpec {
        path: path.to_owned(),
        max_size,
        keep,
    }
}

fn on_disk(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|f| f.unwrap().metadata().unwrap().len()).sum()
}

fn texts(path: &Path) -> Vec<String> {
    let tail = tail(path, 1000, None).unwrap();
    tail.lines.into_iter().map(|l| l.text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written, also after the bounds were changed or another writer went before: never more on the
    /// disk than allowed, and the newest lines are there, in order.
    #[test]
    fn the_disk_is_bounded(
        lengths in prop::collection::vec((0..300_usize, any::<bool>()), 1..120),
        max_size in 400..3000_u64,
        keep in 0..4_u32,
        then in prop::option::of((400..3000_u64, 0..4_u32)),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api-0.log");
        let mut writer = Writer::new(spec(&path, max_size, keep));
        let mut bound = max_size * u64::from(keep + 1);
        for (i, (length, flush)) in lengths.iter().enumerate() {
            if let (Some((max_size, keep)), true) = (then, i == lengths.len() / 2) {
                writer.set(spec(&path, max_size, keep));
                writer.remark(0, "the bounds changed");
                bound = max_size * u64::from(keep + 1);
                prop_assert!(on_disk(folder.path()) <= bound);
            }
            let text = format!("{i:04}{}", "x".repeat(*length));
            let text = &text.as_bytes()[..text.len().min(writer.max_text())];
            writer.record(i64::try_from(i).unwrap(), Stream::Stdout, false, text);
            if *flush {
                writer.flush();
                prop_assert!(on_disk(folder.path()) <= bound);
            }
        }
        writer.flush();
        prop_assert!(on_disk(folder.path()) <= bound);
        prop_assert_eq!(writer.health(), Health::default());
        let numbers: Vec<usize> = texts(&path).iter().filter_map(|t| t.get(..4)?.parse().ok()).collect();
        let expected: Vec<usize> = (lengths.len() - numbers.len()..lengths.len()).collect();
        prop_assert!(!numbers.is_empty());
        prop_assert_eq!(numbers, expected);
    }
}

#[test]
fn an_unwritable_log_is_survived_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api-0.log");
    // A folder in its place: so it is unwritable for root as well.
    std::fs::create_dir(&path).unwrap();
    let mut writer = Writer::new(spec(&path, 10_000, 2));
    for i in 0..10 {
        writer.record(i, Stream::Stdout, false, b"lost");
        writer.flush();
    }
    assert_eq!(writer.health().dropped_lines, 10);
    assert!(writer.health().problem.unwrap().contains("api-0.log"));
    std::fs::remove_dir(&path).unwrap();
    while writer.health().problem.is_some() {
        writer.record(11, Stream::Stdout, false, b"there");
        writer.flush();
    }
    let lines = tail(&path, 10, None).unwrap().lines;
    assert_eq!(lines[0].stream, Stream::Cockpit);
    let dropped = writer.health().dropped_lines;
    assert!(
        lines[0]
            .text
            .starts_with(&format!("{dropped} lines could not be written: ")),
        "{lines:?}"
    );
    assert_eq!(lines[1].text, "there");
}

#[test]
fn a_device_or_a_fifo_is_no_log_and_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [Path::new("/dev/full"), &fifo] {
        let mut writer = Writer::new(spec(path, 10_000, 2));
        writer.record(1, Stream::Stdout, false, b"lost");
        writer.flush();
        assert_eq!(writer.health().dropped_lines, 1);
    }
}

#[test]
fn half_a_record_of_a_killed_writer_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api-0.log");
    std::fs::write(
        &path,
        "1970-01-01T00:00:00.000000000Z stdout F whole\n1970-01-01T00:0",
    )
    .unwrap();
    let mut writer = Writer::new(spec(&path, 10_000, 2));
    writer.record(1, Stream::Stdout, false, b"next");
    writer.flush();
    assert_eq!(texts(&path), ["whole", "next"]);
}

#[test]
fn a_deleted_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs").join("api-0.log");
    let mut writer = Writer::new(spec(&path, 10_000, 2));
    writer.remark(1, "before");
    std::fs::remove_dir_all(folder.path().join("logs")).unwrap();
    while !path.exists() {
        writer.remark(2, "after");
    }
    assert_eq!(texts(&path), ["after"]);
}

#[test]
fn the_file_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api-0.log");
    Writer::new(spec(&path, 10_000, 2)).remark(1, "hello");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

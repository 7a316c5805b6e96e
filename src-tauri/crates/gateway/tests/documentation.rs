//! docs/gateway.md names every code that a caller or a call can show, and no other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The codes between two marks, as in `"policy_host"`.
fn codes(text: &str, mark: char) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        let prefixes = ["caller_", "policy_", "provider_", "gateway_"];
        let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        plain
            && prefixes
                .iter()
                .any(|prefix| word.starts_with(prefix) && word.len() > prefix.len())
    };
    let words = text.split(mark).filter(is_code);
    words.map(str::to_owned).collect()
}

#[test]
fn every_code_is_explained_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let mut used = BTreeSet::new();
    for file in files {
        used.extend(codes(&std::fs::read_to_string(file).unwrap(), '"'));
    }
    assert!(used.len() > 25, "{used:?}");
    let page = std::fs::read_to_string(root.join("../../../docs/gateway.md")).unwrap();
    let table = page.split("## Errors").nth(1).expect("a table of errors");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: BTreeSet<String> = rows
        .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(
        used, explained,
        "the table in docs/gateway.md explains every code, and no other"
    );
}

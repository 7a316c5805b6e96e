//! Every mistake as a file in `tests/cases`, with what is said about it beside it.
//!
//! `NAME.toml` is read, `NAME.expected` holds the errors one a line (`LINE:COLUMN: …`), or, if it
//! holds, `ok` and the warnings. `UPDATE_EXPECTED=1` writes them anew, to be read before committing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fmt::Write as _;
use std::path::Path;

fn told(text: &str) -> String {
    let mut told = String::new();
    let list = match common::read(text) {
        Ok(config) => {
            told.push_str("ok\n");
            config.warnings
        }
        Err(errors) => errors,
    };
    for error in list {
        let line = error.to_string();
        let line = line
            .strip_prefix("/data/cockpit.toml:")
            .expect("names the file");
        writeln!(told, "{line}").unwrap();
    }
    told
}

#[test]
fn every_case_is_told_as_written_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    let mut seen = 0;
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    for path in files {
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let told = told(&text);
        let beside = path.with_extension("expected");
        if update {
            std::fs::write(&beside, &told).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if told != expected {
            wrong.push(format!(
                "{}\n--- expected\n{expected}--- told\n{told}",
                path.file_name().unwrap().to_string_lossy()
            ));
        }
    }
    assert!(seen > 50, "only {seen} cases were found");
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

//! Prompts are kept as long as somebody wants it, and not a moment longer.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use cockpit_model::Timestamp;
use cockpit_model::kept::Exchange;
use cockpit_store::prompts::{Keeping, Prompts, Rules};

const DAY: Duration = Duration::from_hours(24);

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompts.db");
    Place {
        _folder: folder,
        file,
    }
}

fn rules(all: &[(&str, Duration)]) -> Rules {
    all.iter()
        .map(|(name, keep)| ((*name).to_owned(), *keep))
        .collect()
}

fn keeping(call: &str, rule: &str, age: Duration) -> Keeping {
    let said = Exchange {
        prompt: format!("the prompt of {call}"),
        prompt_cut: false,
        answer: format!("the answer of {call}"),
        answer_cut: true,
    };
    Keeping {
        call: call.to_owned(),
        at: Timestamp::now().checked_sub(age).unwrap(),
        rule: rule.to_owned(),
        bytes: 100,
        read: Box::new(move || said),
    }
}

fn holds(place: &Place, text: &str) -> bool {
    let bytes = std::fs::read(&place.file).unwrap_or_default();
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn without_a_rule_there_is_not_even_a_file() {
    let place = place();
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.keep(keeping("a", "", Duration::ZERO));
    assert_eq!(prompts.read("a").unwrap(), None);
    prompts.obey(Rules::new());
    prompts.keep(keeping("a", "", Duration::ZERO));
    assert_eq!(prompts.read("a").unwrap(), None);
    prompts.close();
    assert!(!place.file.exists());
}

#[test]
fn what_is_kept_is_there_for_its_owner_also_after_a_restart() {
    let place = place();
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(rules(&[("chat", DAY)]));
    prompts.keep(keeping("a", "chat", Duration::ZERO));
    prompts.keep(keeping("b", "other", Duration::ZERO));
    let found = prompts.read("a").unwrap().unwrap();
    assert_eq!(found.prompt, "the prompt of a");
    assert_eq!(found.answer, "the answer of a");
    assert!(!found.prompt_cut && found.answer_cut);
    assert_eq!(prompts.read("b").unwrap(), None, "no rule keeps it");
    assert_eq!(prompts.read("c").unwrap(), None);
    let mode = place.file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    prompts.close();

    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(rules(&[("chat", DAY)]));
    assert_eq!(prompts.read("a").unwrap().unwrap(), found);
}

#[test]
fn a_rule_that_shortens_or_goes_drops_what_it_kept() {
    let place = place();
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(rules(&[("chat", 7 * DAY), ("", 7 * DAY)]));
    for (call, rule, age) in [
        ("old", "chat", 3 * DAY),
        ("new", "chat", DAY / 2),
        ("common", "", 3 * DAY),
    ] {
        prompts.keep(keeping(call, rule, age));
    }
    let there = |call: &str| prompts.read(call).unwrap().is_some();
    assert!(there("old") && there("new") && there("common"));
    assert!(holds(&place, "the prompt of old"));

    prompts.obey(rules(&[("chat", DAY), ("", 7 * DAY)]));
    assert!(!there("old") && there("new") && there("common"));
    assert!(
        !holds(&place, "the prompt of old"),
        "nor is it left in the file"
    );

    prompts.obey(rules(&[("", 7 * DAY)]));
    assert!(!there("new") && there("common"));

    prompts.obey(Rules::new());
    assert!(!there("common"));
    assert!(!place.file.exists());
    // And again.
    prompts.obey(rules(&[("", DAY)]));
    prompts.keep(keeping("again", "", Duration::ZERO));
    assert!(there("again"));
}

#[test]
fn what_a_former_life_kept_goes_with_its_rule() {
    let place = place();
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(rules(&[("", DAY)]));
    prompts.keep(keeping("a", "", Duration::ZERO));
    prompts.close();
    assert!(place.file.exists());
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(BTreeMap::new());
    assert_eq!(prompts.read("a").unwrap(), None);
    assert!(!place.file.exists());
}

#[test]
fn a_damaged_file_is_begun_anew_and_not_set_aside() {
    let place = place();
    std::fs::write(
        &place.file,
        "this is no database, and long enough to be looked at".repeat(200),
    )
    .unwrap();
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(rules(&[("", DAY)]));
    prompts.keep(keeping("a", "", Duration::ZERO));
    assert!(prompts.read("a").unwrap().is_some());
    prompts.close();
    let beside = std::fs::read_dir(place.file.parent().unwrap())
        .unwrap()
        .count();
    assert_eq!(beside, 1, "what it held would outlive its time");
}

#[test]
fn a_flood_is_bounded_and_counted() {
    let place = place();
    let prompts = Prompts::new(&place.file).unwrap();
    prompts.obey(rules(&[("", DAY)]));
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let mut held = Some(wait);
    for n in 0..20 {
        let mut one = keeping(&n.to_string(), "", Duration::ZERO);
        one.bytes = 30 << 20;
        if let Some(wait) = held.take() {
            // The disk is slow with the first.
            let read = one.read;
            one.read = Box::new(move || {
                let _ = wait.recv();
                read()
            });
        }
        prompts.keep(one);
    }
    drop(go);
    let kept = (0..20).filter(|n| prompts.read(&n.to_string()).unwrap().is_some());
    assert_eq!((kept.count(), prompts.dropped()), (3, 17));
}

//! `state.db`: durable, and survived when it is not well.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

use cockpit_store::{Error, KeyUse, Opened, StateDb, StoredKey};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::new(second, 123_456_789).unwrap()
}

#[test]
fn what_is_set_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (state, opened) = StateDb::open(&path).unwrap();
    assert_eq!(opened, Opened::Fresh);
    state.set_manual_stop("api", Some(at(10))).unwrap();
    state.set_manual_stop("ollama", Some(at(20))).unwrap();
    state.set_manual_stop("api", Some(at(30))).unwrap();
    state.set_manual_stop("ollama", None).unwrap();
    state.set("models", Some("llama3")).unwrap();
    state.set("gone", Some("x")).unwrap();
    state.set("gone", None).unwrap();
    drop(state);

    let (state, opened) = StateDb::open(&path).unwrap();
    assert_eq!(opened, Opened::Ok);
    let stops = state.manual_stops().unwrap();
    assert_eq!(
        stops.into_iter().collect::<Vec<_>>(),
        [("api".to_owned(), at(30))]
    );
    assert_eq!(state.get("models").unwrap().as_deref(), Some("llama3"));
    assert_eq!(state.get("gone").unwrap(), None);
}

fn damaged(spoil: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (state, _) = StateDb::open(&path).unwrap();
    for service in 0..500 {
        state
            .set_manual_stop(&format!("service-{service}"), Some(at(1)))
            .unwrap();
    }
    drop(state);
    spoil(&path);
    let before = fs::read(&path).unwrap();

    let (state, opened) = StateDb::open(&path).unwrap();
    let Opened::SetAside { moved_to, why } = opened else {
        panic!("{opened:?}");
    };
    assert!(!why.is_empty());
    assert_eq!(
        fs::read(&moved_to).unwrap(),
        before,
        "the damaged one is kept as it was"
    );
    let name = moved_to.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("state.db.damaged-"), "{name}");
    assert!(state.manual_stops().unwrap().is_empty());
    state.set_manual_stop("api", Some(at(2))).unwrap();

    // A second one in the same second does not overwrite the first.
    drop(state);
    fs::write(
        &path,
        b"garbage again, long enough to be a header of something",
    )
    .unwrap();
    let (_state, opened) = StateDb::open(&path).unwrap();
    let Opened::SetAside {
        moved_to: second, ..
    } = opened
    else {
        panic!("{opened:?}");
    };
    assert_ne!(second, moved_to);
    assert_eq!(fs::read(&moved_to).unwrap(), before);
}

#[test]
fn garbage_is_set_aside() {
    damaged(|path| fs::write(path, vec![0xA5; 8192]).unwrap());
}

#[test]
fn a_truncated_file_is_set_aside() {
    damaged(|path| {
        let length = fs::metadata(path).unwrap().len();
        assert!(length > 8192, "the test needs more than two pages");
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(length / 2)
            .unwrap();
    });
}

#[test]
fn a_spoiled_page_is_set_aside() {
    damaged(|path| {
        let mut bytes = fs::read(path).unwrap();
        let end = bytes.len();
        bytes.splice(end - 4096..end - 2048, std::iter::repeat_n(0xFF, 2048));
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn a_newer_layout_is_left_alone_and_read_as_far_as_it_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (state, _) = StateDb::open(&path).unwrap();
    state.set_manual_stop("api", Some(at(5))).unwrap();
    drop(state);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let (state, opened) = StateDb::open(&path).unwrap();
    let Opened::Unavailable { why } = opened else {
        panic!("{opened:?}");
    };
    assert!(why.contains("newer version") && why.contains("99"), "{why}");
    assert_eq!(state.manual_stops().unwrap().get("api"), Some(&at(5)));
    let error = state.set_manual_stop("api", None).unwrap_err();
    assert!(matches!(error, Error::NotDurable { .. }), "{error}");
    drop(state);
    assert_eq!(fs::read(&path).unwrap(), before);
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("damaged")),
        "{names:?}"
    );
}

#[test]
fn the_first_layout_is_opened_by_this_version() {
    // As version 1 made it, recorded.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE manual_stops (service TEXT PRIMARY KEY NOT NULL, at_ns INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE kv (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
             INSERT INTO manual_stops VALUES ('api', 7000000000);
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    let (state, opened) = StateDb::open(&path).unwrap();
    assert_eq!(opened, Opened::Ok);
    assert_eq!(
        state.manual_stops().unwrap().get("api"),
        Some(&Timestamp::from_second(7).unwrap())
    );
    state.set("key", Some("value")).unwrap();
}

#[test]
fn where_nothing_can_be_written_it_answers_from_memory_and_says_so() {
    // Not even root can make a file there.
    let (state, opened) = StateDb::open("/proc/state.db").unwrap();
    assert!(matches!(opened, Opened::Unavailable { .. }), "{opened:?}");
    let error = state.set_manual_stop("api", Some(at(5))).unwrap_err();
    assert!(matches!(error, Error::NotDurable { .. }), "{error}");
    assert_eq!(state.manual_stops().unwrap().get("api"), Some(&at(5)));
}

fn key(name: &str) -> StoredKey {
    StoredKey {
        name: name.to_owned(),
        hash: [7; 32],
        hint: "cockpit_ab12".to_owned(),
        limits: r#"{"usd_per_day":5.0}"#.to_owned(),
        created_at: at(40),
    }
}

#[test]
fn keys_are_there_after_reopening_until_they_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (state, _) = StateDb::open(&path).unwrap();
    let other = StoredKey {
        hash: [8; 32],
        ..key("other")
    };
    assert!(state.add_key(&key("app")).unwrap());
    assert!(state.add_key(&other).unwrap());
    let again = StoredKey {
        hash: [9; 32],
        ..key("app")
    };
    assert!(!state.add_key(&again).unwrap(), "the name is taken");
    let used = |name: &str, second| KeyUse {
        name: name.to_owned(),
        last_used_at: at(second),
        profile: "{}".to_owned(),
    };
    state
        .set_key_uses(&[used("app", 1), used("written", 2)])
        .unwrap();
    state.set_key_uses(&[used("app", 3)]).unwrap();
    drop(state);

    let (state, _) = StateDb::open(&path).unwrap();
    assert_eq!(state.keys().unwrap(), [key("app"), other.clone()]);
    assert_eq!(
        state.key_uses().unwrap(),
        [used("app", 3), used("written", 2)]
    );
    assert!(state.remove_key("app").unwrap());
    assert!(!state.remove_key("app").unwrap());
    assert_eq!(state.keys().unwrap(), [other]);
    assert_eq!(state.key_uses().unwrap(), [used("written", 2)]);
}

#[test]
fn a_file_from_before_there_were_keys_takes_some() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE manual_stops (service TEXT PRIMARY KEY NOT NULL, at_ns INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE kv (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
         INSERT INTO manual_stops VALUES ('api', 5);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let (state, opened) = StateDb::open(&path).unwrap();
    assert_eq!(opened, Opened::Ok);
    assert_eq!(state.manual_stops().unwrap().len(), 1);
    assert!(state.add_key(&key("app")).unwrap());
    assert_eq!(state.keys().unwrap(), [key("app")]);
}

#[test]
fn a_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let files = ["state.db", "state.db-wal"].map(|name| dir.path().join(name));
    for _ in [
        "new ones",
        "those that others could read, left by a killed engine",
    ] {
        let (db, _) = StateDb::open(&path).unwrap();
        for file in &files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::mem::forget(db);
    }
}

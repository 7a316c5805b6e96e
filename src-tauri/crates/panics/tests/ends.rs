//! A process of its own for each: what it ends with is what matters.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::task::{Context, Waker};
use std::{future, panic, pin, thread};

use cockpit_panics::{Outlived, install, outlived};

/// Which part is played here, if this is the process of its own.
const PART: &str = "COCKPIT_PANICS_PART";

fn play(part: &str) {
    install();
    let panics = || -> () { panic!("a defect") };
    match part {
        "outlived" => {
            assert!(thread::spawn(move || outlived(panics)).join().is_err());
            let mut dies = pin::pin!(Outlived::new(future::poll_fn(move |_| {
                panics();
                std::task::Poll::Ready(())
            })));
            let polled = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                let mut context = Context::from_waker(Waker::noop());
                dies.as_mut().poll(&mut context)
            }));
            assert!(polled.is_err());
        }
        "beside" => {
            // What was outlived in this thread before does not matter.
            let caught = panic::catch_unwind(|| outlived(panics));
            assert!(caught.is_err());
            drop(thread::spawn(panics).join());
        }
        "after" => {
            drop(panic::catch_unwind(|| outlived(panics)));
            drop(panic::catch_unwind(panics));
        }
        other => panic!("no such part: {other}"),
    }
}

fn ends(part: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_part_of_a_process_of_its_own", "--nocapture"])
        .env(PART, part)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

/// No test by itself: what [`ends`] runs.
#[test]
fn the_part_of_a_process_of_its_own() {
    if let Ok(part) = std::env::var(PART) {
        play(&part);
    }
}

#[test]
fn a_panic_that_may_be_outlived_is() {
    assert_eq!(ends("outlived").code(), Some(0));
}

#[test]
fn any_other_ends_the_process() {
    const ABORTED: i32 = 6;
    for part in ["beside", "after"] {
        assert_eq!(ends(part).signal(), Some(ABORTED), "{part}");
    }
}

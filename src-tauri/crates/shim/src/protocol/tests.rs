#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::log::Stream;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn os() -> impl Strategy<Value = OsString> {
    bytes().prop_map(OsString::from_vec)
}

fn log() -> impl Strategy<Value = LogSpec> {
    (os(), any::<u64>(), any::<u32>()).prop_map(|(path, max_size, keep)| LogSpec {
        path: PathBuf::from(path),
        max_size,
        keep,
    })
}

fn stop() -> impl Strategy<Value = StopSpec> {
    (any::<i32>(), any::<u64>()).prop_map(|(signal, grace_ms)| StopSpec { signal, grace_ms })
}

fn to_shim() -> impl Strategy<Value = ToShim> {
    let list = || prop::collection::vec(os(), 0..5);
    let env = prop::collection::vec((os(), os()), 0..5);
    prop_oneof![
        any::<u32>().prop_map(|version| ToShim::Hello { version }),
        (list(), os(), env, bytes(), log(), stop()).prop_map(
            |(argv, cwd, env, label, log, stop)| {
                ToShim::Spawn(Box::new(Spawn {
                    argv,
                    cwd: cwd.into(),
                    env,
                    label,
                    log,
                    stop,
                }))
            }
        ),
        stop().prop_map(ToShim::Stop),
        Just(ToShim::Kill),
        log().prop_map(ToShim::SetLog),
        any::<bool>().prop_map(|on| ToShim::Follow { on }),
        any::<String>().prop_map(|text| ToShim::Remark { text }),
        Just(ToShim::Quit),
        any::<u64>().prop_map(|nonce| ToShim::Ping { nonce }),
        any::<u64>().prop_map(|id| ToShim::AckExit { id }),
        bytes().prop_map(|label| ToShim::SetLabel { label }),
        stop().prop_map(ToShim::SetStop),
    ]
}

fn exit() -> impl Strategy<Value = Exit> {
    let status = prop_oneof![
        any::<i32>().prop_map(ExitStatus::Code),
        any::<i32>().prop_map(ExitStatus::Signal)
    ];
    let lines = prop::collection::vec(any::<String>(), 0..4);
    (
        any::<[u64; 2]>(),
        any::<u32>(),
        status,
        any::<i64>(),
        any::<bool>(),
        lines,
    )
        .prop_map(
            |([id, start_time], pid, status, at_micros, requested, last_lines)| Exit {
                id,
                pid,
                start_time,
                status,
                at_micros,
                requested,
                last_lines,
            },
        )
}

fn from_shim() -> impl Strategy<Value = FromShim> {
    let state = prop_oneof![
        Just(State::Empty),
        Just(State::Ending),
        (any::<u32>(), any::<u64>(), any::<i64>(), any::<bool>()).prop_map(
            |(pid, start_time, since_micros, stopping)| {
                State::Running(Running {
                    pid,
                    start_time,
                    since_micros,
                    stopping,
                })
            }
        )
    ];
    let exits = prop::collection::vec(exit(), 0..3);
    let welcome = (
        any::<[u32; 2]>(),
        any::<u64>(),
        state,
        bytes(),
        exits,
        prop::option::of(log()),
    )
        .prop_map(
            |([version, shim_pid], shim_start_time, state, label, exits, log)| {
                let welcome = Welcome {
                    version,
                    shim_pid,
                    shim_start_time,
                    state,
                    label,
                    exits,
                    log,
                };
                FromShim::Welcome(Box::new(welcome))
            },
        );
    let kind = prop::sample::select(vec![
        SpawnErrorKind::NotFound,
        SpawnErrorKind::Permission,
        SpawnErrorKind::Cwd,
        SpawnErrorKind::Other,
    ]);
    let stream = prop::sample::select(vec![Stream::Stdout, Stream::Stderr, Stream::Cockpit]);
    let command = prop::sample::select(vec![
        Command::Spawn,
        Command::Stop,
        Command::Kill,
        Command::Quit,
        Command::SetStop,
        Command::Other(77),
    ]);
    prop_oneof![
        welcome,
        (any::<[u32; 2]>(), any::<u64>(), any::<i64>()).prop_map(
            |([pid, spawn_micros], start_time, at_micros)| {
                FromShim::Started(Started {
                    pid,
                    start_time,
                    at_micros,
                    spawn_micros,
                })
            }
        ),
        (kind, any::<i32>(), any::<String>()).prop_map(|(kind, errno, text)| {
            FromShim::SpawnFailed(SpawnError { kind, errno, text })
        }),
        exit().prop_map(FromShim::Exited),
        Just(FromShim::TreeEmpty),
        (any::<i64>(), stream, any::<bool>(), any::<String>()).prop_map(
            |(at_nanos, stream, partial, text)| {
                FromShim::Line(LiveLine {
                    at_nanos,
                    stream,
                    partial,
                    text,
                })
            }
        ),
        any::<u64>().prop_map(|lines| FromShim::Lost { lines }),
        any::<u64>().prop_map(|nonce| FromShim::Pong { nonce }),
        (command, any::<String>())
            .prop_map(|(command, reason)| FromShim::Refused(Refusal { command, reason })),
        any::<Vec<u32>>().prop_map(|pids| FromShim::Lingering { pids }),
        (prop::option::of(any::<String>()), any::<u64>()).prop_map(|(problem, dropped_lines)| {
            FromShim::LogHealth {
                problem,
                dropped_lines,
            }
        }),
    ]
}

/// A message survives the wire, also when it arrives byte by byte among others; a frame cut short is not yet a
/// message; one that a later version made longer is read as before.
fn survives<M: Message + PartialEq + std::fmt::Debug>(messages: &[M]) -> Result<(), TestCaseError> {
    let mut wire = Vec::new();
    for message in messages {
        encode(message, &mut wire).unwrap();
    }
    let (mut inbox, mut received) = (Inbox::new(), Vec::new());
    for byte in &wire {
        inbox.push(&[*byte]);
        while let Some(message) = inbox.next_message::<M>().unwrap() {
            received.push(message);
        }
    }
    prop_assert_eq!(&received[..], messages);
    let mut wire = Vec::new();
    encode(&messages[0], &mut wire).unwrap();
    for cut in 0..wire.len() {
        prop_assert_eq!(decode::<M>(&wire[..cut]), Ok(None));
    }
    let longer = u32::try_from(wire.len() - 4 + 3).unwrap();
    wire[..4].copy_from_slice(&longer.to_le_bytes());
    wire.extend([1, 2, 3]);
    let (message, consumed) = decode::<M>(&wire).unwrap().unwrap();
    prop_assert_eq!((&message, consumed), (&messages[0], wire.len()));
    Ok(())
}

proptest! {
    #[test]
    fn what_an_engine_says_arrives(messages in prop::collection::vec(to_shim(), 1..5)) {
        survives(&messages)?;
    }

    #[test]
    fn what_a_shim_says_arrives(messages in prop::collection::vec(from_shim(), 1..5)) {
        survives(&messages)?;
    }

    #[test]
    fn any_bytes_are_decoded(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&bytes);
    }

    /// Random bytes rarely are a frame; so: a frame of every kind around random bytes.
    #[test]
    fn any_body_is_decoded(body in prop::collection::vec(any::<u8>(), 0..100), kind in 0..0x120_u16) {
        let mut frame = u32::try_from(body.len() + 2).unwrap().to_le_bytes().to_vec();
        frame.extend(kind.to_le_bytes());
        frame.extend(body);
        fuzz(&frame);
    }
}

#[test]
fn an_unknown_kind_is_skipped() {
    let mut wire = Vec::new();
    wire.extend([7, 0, 0, 0, 0xff, 0x7f, 1, 2, 3, 4, 5]);
    encode(&ToShim::Kill, &mut wire).unwrap();
    let mut inbox = Inbox::new();
    inbox.push(&wire);
    assert_eq!(inbox.next_message(), Ok(Some(ToShim::Unknown(0x7fff))));
    assert_eq!(inbox.next_message(), Ok(Some(ToShim::Kill)));
}

#[test]
fn too_long_is_refused_both_ways() {
    let mut wire = vec![9];
    let text = "x".repeat(MAX_FRAME);
    let refused = encode(&ToShim::Remark { text }, &mut wire);
    assert_eq!(refused, Err(Error::TooLong(MAX_FRAME + 6)));
    assert_eq!(wire, [9]);
    let announced = u32::try_from(MAX_FRAME + 1).unwrap().to_le_bytes();
    assert_eq!(
        decode::<ToShim>(&announced),
        Err(Error::TooLong(MAX_FRAME + 1))
    );
    assert_eq!(decode::<ToShim>(&[1, 0, 0, 0, 1]), Err(Error::Truncated));
}

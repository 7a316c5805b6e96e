#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use http_body_util::BodyExt as _;
use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// What a provider sees: on which of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Request(usize),
    Closed(usize),
}

/// A provider that answers with these bytes, as often as it is asked over one connection and no oftener: then it
/// closes that, and earlier when it is told to.
async fn provider_that_ends(
    answer: &'static str,
    answers: usize,
    reads_more: bool,
    end: Arc<Notify>,
) -> (Origin, UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let (saw, seen) = unbounded_channel();
    tokio::spawn(async move {
        for connection in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (saw, end) = (saw.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let mut answered = 0;
                let (mut head, mut byte) = (Vec::new(), [0]);
                while answered < answers || reads_more {
                    let read = tokio::select! {
                        read = stream.read(&mut byte) => read.unwrap_or(0),
                        () = end.notified() => 0,
                    };
                    if read == 0 {
                        break;
                    }
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let _ = saw.send(Seen::Request(connection));
                        if answered == answers {
                            break;
                        }
                        stream.write_all(answer.as_bytes()).await.unwrap();
                        answered += 1;
                    }
                }
                drop(stream);
                let _ = saw.send(Seen::Closed(connection));
            });
        }
    });
    let origin = Origin {
        scheme: Scheme::HTTP,
        authority: authority.parse().unwrap(),
    };
    (origin, seen)
}

/// One that is not told.
async fn provider(
    answer: &'static str,
    answers: usize,
    reads_more: bool,
) -> (Origin, UnboundedReceiver<Seen>) {
    provider_that_ends(answer, answers, reads_more, Arc::default()).await
}

fn request() -> Request<Sending> {
    let mut request = Request::new(Sending::full(Bytes::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = "/".parse().unwrap();
    request
}

const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nmoles";
const CHUNKS: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nmol\r\n2\r\nes\r\n0\r\n\r\n";
const NOTHING: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn a_connection_is_used_again() {
    for (answer, said) in [(LENGTH, "moles"), (CHUNKS, "moles"), (NOTHING, "")] {
        let (origin, mut seen) = provider(answer, usize::MAX, false).await;
        let lanes = Lanes::new().unwrap();
        for _ in 0..3 {
            let coming = lanes.ask(origin.clone(), request()).await.unwrap();
            let body = coming.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, said);
            assert_eq!(seen.recv().await, Some(Seen::Request(1)));
        }
    }
}

#[tokio::test]
async fn whoever_has_all_that_was_announced_is_done() {
    let (origin, mut seen) = provider(LENGTH, usize::MAX, false).await;
    let lanes = Lanes::new().unwrap();
    for _ in 0..2 {
        let coming = lanes.ask(origin.clone(), request()).await.unwrap();
        let mut body = coming.into_body();
        let mut had = 0;
        while had < 5 {
            had += body
                .frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap()
                .len();
        }
        drop(body);
        assert_eq!(seen.recv().await, Some(Seen::Request(1)));
    }
}

#[tokio::test]
async fn an_answer_that_nobody_wants_to_the_end_is_cut() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nmoles";
    let (origin, mut seen) = provider(half, usize::MAX, false).await;
    let lanes = Lanes::new().unwrap();
    let coming = lanes.ask(origin.clone(), request()).await.unwrap();
    let mut body = coming.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(seen.recv().await, Some(Seen::Request(1)));
    assert_eq!(seen.recv().await, Some(Seen::Closed(1)));
    // Nor is what was asked when nobody waits for its head any more.
    let silent = "";
    let (origin, mut seen) = provider(silent, usize::MAX, false).await;
    tokio::select! {
        _ = lanes.ask(origin, request()) => panic!("nothing was said"),
        saw = seen.recv() => assert_eq!(saw, Some(Seen::Request(1))),
    }
    assert_eq!(seen.recv().await, Some(Seen::Closed(1)));
}

#[tokio::test]
async fn one_that_was_closed_meanwhile_is_passed_over() {
    // At once after the answer …
    let (origin, mut seen) = provider(LENGTH, 1, false).await;
    let lanes = Lanes::new().unwrap();
    for connection in 1..4 {
        let coming = lanes.ask(origin.clone(), request()).await.unwrap();
        coming.into_body().collect().await.unwrap();
        assert_eq!(seen.recv().await, Some(Seen::Request(connection)));
        assert_eq!(seen.recv().await, Some(Seen::Closed(connection)));
    }
    // … and later, whether the reactor has heard of it or not: after a few turns it has.
    let end = Arc::<Notify>::default();
    let (origin, mut seen) = provider_that_ends(LENGTH, usize::MAX, false, Arc::clone(&end)).await;
    for connection in 1..9 {
        let coming = lanes.ask(origin.clone(), request()).await.unwrap();
        coming.into_body().collect().await.unwrap();
        assert_eq!(seen.recv().await, Some(Seen::Request(connection)));
        end.notify_one();
        assert_eq!(seen.recv().await, Some(Seen::Closed(connection)));
        for _ in 0..connection {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again() {
    let (origin, mut seen) = provider(LENGTH, 1, true).await;
    let lanes = Lanes::new().unwrap();
    let coming = lanes.ask(origin.clone(), request()).await.unwrap();
    coming.into_body().collect().await.unwrap();
    assert!(lanes.ask(origin, request()).await.is_err());
    assert_eq!(seen.recv().await, Some(Seen::Request(1)));
    assert_eq!(seen.recv().await, Some(Seen::Request(1)));
    assert_eq!(seen.recv().await, Some(Seen::Closed(1)));
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn what_is_not_used_is_let_go() {
    let unused = |lanes: &Lanes| lanes.unused.lock().unwrap().len();
    // In time …
    let (origin, _seen) = provider(LENGTH, usize::MAX, false).await;
    let lanes = Lanes::new().unwrap();
    let coming = lanes.ask(origin, request()).await.unwrap();
    coming.into_body().collect().await.unwrap();
    lanes.tidy();
    assert_eq!(unused(&lanes), 1);
    tokio::time::pause();
    tokio::time::advance(IDLE).await;
    lanes.tidy();
    assert_eq!(unused(&lanes), 0);
    tokio::time::resume();
    // … and at once when its provider has closed it.
    let (origin, mut seen) = provider(LENGTH, 1, false).await;
    let coming = lanes.ask(origin, request()).await.unwrap();
    coming.into_body().collect().await.unwrap();
    while seen.recv().await != Some(Seen::Closed(1)) {}
    // The reactor hears of it a moment later.
    let gone = async {
        while unused(&lanes) > 0 {
            tokio::task::yield_now().await;
            lanes.tidy();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn no_more_are_kept_than_there_is_use_for() {
    let (origin, mut seen) = provider(LENGTH, usize::MAX, false).await;
    let lanes = Lanes::new().unwrap();
    let mut answers = Vec::new();
    for connection in 1..=IDLE_FOR_EACH + 2 {
        // The others are in use.
        answers.push(lanes.ask(origin.clone(), request()).await.unwrap());
        assert_eq!(seen.recv().await, Some(Seen::Request(connection)));
    }
    for answer in answers {
        answer.into_body().collect().await.unwrap();
    }
    // The first to be given back are kept, and the rest is closed.
    for connection in [IDLE_FOR_EACH + 1, IDLE_FOR_EACH + 2] {
        let closed = tokio::time::timeout(Duration::from_secs(30), seen.recv()).await;
        assert_eq!(closed, Ok(Some(Seen::Closed(connection))));
    }
    let kept: usize = lanes
        .unused
        .lock()
        .unwrap()
        .iter()
        .map(|(_, one)| one.len())
        .sum();
    assert_eq!(kept, IDLE_FOR_EACH);
}

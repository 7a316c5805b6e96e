#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const BOUNDS: Bounds = Bounds {
    door: "a door",
    connections: 1,
    head: 8 << 10,
    head_timeout: Duration::from_secs(10),
    last_answers: Duration::from_secs(2),
};

/// A listener whose connections are made here.
struct Arrivals(Mutex<UnboundedReceiver<io::Result<DuplexStream>>>);

impl Listener for Arrivals {
    type Io = DuplexStream;
    type Peer = ();

    async fn accept(&self) -> io::Result<(DuplexStream, ())> {
        match self.0.lock().await.recv().await {
            Some(arrived) => Ok((arrived?, ())),
            None => std::future::pending().await,
        }
    }
}

/// A door with a place for one.
struct Rig {
    arrivals: UnboundedSender<io::Result<DuplexStream>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    /// It was asked for `/late`.
    asked: Arc<Notify>,
    /// What is late may be answered.
    answer: Arc<Notify>,
}

fn open() -> Rig {
    let (arrivals, arrived) = unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let (asked, answer) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let (asks, answers) = (Arc::clone(&asked), Arc::clone(&answer));
    let answering = move |(), request: Request<Incoming>| {
        let (asks, answers) = (Arc::clone(&asks), Arc::clone(&answers));
        async move {
            let body = match request.uri().path() {
                "/large" => Bytes::from(vec![b'x'; 1 << 20]),
                "/late" => {
                    asks.notify_one();
                    answers.notified().await;
                    Bytes::from_static(b"late")
                }
                _ => Bytes::from_static(b"hello"),
            };
            Response::new(Full::new(body))
        }
    };
    let listener = Arrivals(Mutex::new(arrived));
    let stopped = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(serve(listener, BOUNDS, stopped, answering));
    Rig {
        arrivals,
        stop,
        serving,
        asked,
        answer,
    }
}

impl Rig {
    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(1 << 10);
        self.arrivals.send(Ok(theirs)).unwrap();
        ours
    }

    /// What is answered until the connection ends.
    async fn ask(&self, path: &str) -> String {
        let mut io = self.connect();
        write(&mut io, path).await;
        rest(io).await
    }
}

async fn write(io: &mut DuplexStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
}

/// What comes until the connection ends, which it does within the hour.
async fn rest(mut io: DuplexStream) -> String {
    let mut text = String::new();
    let reading = io.read_to_string(&mut text);
    let read = tokio::time::timeout(Duration::from_secs(3600), reading).await;
    read.expect("it ends").unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_taken_keeps_nobody_out() {
    let rig = open();
    let none_left = || Err(io::Error::other("too many open files"));
    rig.arrivals.send(none_left()).unwrap();
    rig.arrivals.send(none_left()).unwrap();
    let began = Instant::now();
    assert!(rig.ask("/").await.ends_with("hello"));
    assert!(began.elapsed() >= 2 * BREATH, "it does not turn in circles");
}

#[tokio::test(start_paused = true)]
async fn more_than_there_are_places_wait_for_one() {
    let rig = open();
    let mut first = rig.connect();
    write(&mut first, "/late").await;
    rig.asked.notified().await;
    let mut second = rig.connect();
    write(&mut second, "/").await;
    let mut early = [0];
    let early = tokio::time::timeout(Duration::from_secs(1), second.read(&mut early)).await;
    assert!(early.is_err(), "answered although the place is held");
    rig.answer.notify_one();
    assert!(rest(first).await.ends_with("late"));
    assert!(rest(second).await.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_reading_or_never_asks_gives_back_the_place() {
    let rig = open();
    let held = |began: Instant, bound: Duration| {
        let held = began.elapsed();
        assert!(held >= bound && held < 2 * bound, "{held:?}");
    };
    let mut deaf = rig.connect();
    let began = Instant::now();
    write(&mut deaf, "/large").await;
    assert!(rig.ask("/").await.ends_with("hello"));
    held(began, WRITE_TIMEOUT);
    let mut slow = rig.connect();
    let began = Instant::now();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert!(rig.ask("/").await.ends_with("hello"));
    held(began, BOUNDS.head_timeout);
    let large = format!("/{}", "x".repeat(BOUNDS.head));
    let mut io = rig.connect();
    let head = format!("GET {large} HTTP/1.1\r\n");
    // It may be refused before all of it is written.
    let _ = io.write_all(head.as_bytes()).await;
    assert!(rest(io).await.starts_with("HTTP/1.1 4"));
}

#[tokio::test(start_paused = true)]
async fn once_it_closes_answers_are_finished_and_idle_connections_end() {
    let rig = open();
    let mut idle = rig.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0];
    idle.read_exact(&mut first).await.unwrap();
    let began = Instant::now();
    rig.stop.send(()).unwrap();
    rig.serving.await.unwrap();
    assert!(rest(idle).await.ends_with("hello"));
    assert_eq!(began.elapsed(), Duration::ZERO);
    // What is under way may end …
    let rig = open();
    let mut io = rig.connect();
    write(&mut io, "/late").await;
    rig.asked.notified().await;
    rig.stop.send(()).unwrap();
    rig.arrivals.closed().await;
    rig.answer.notify_one();
    assert!(rest(io).await.ends_with("late"));
    rig.serving.await.unwrap();
    // … but not whenever it likes.
    let rig = open();
    let mut io = rig.connect();
    write(&mut io, "/late").await;
    rig.asked.notified().await;
    let began = Instant::now();
    rig.stop.send(()).unwrap();
    rig.serving.await.unwrap();
    assert_eq!(rest(io).await, "");
    assert!(began.elapsed() >= BOUNDS.last_answers);
}

/// A body in pieces of a kibibyte.
struct Pieces {
    left: usize,
    /// How many were taken.
    taken: Arc<AtomicUsize>,
    announced: bool,
    /// After the last one nothing comes, not even the end.
    stalls: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.left.checked_sub(1) {
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
            Some(left) => {
                self.left = left;
                self.taken.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1 << 10])))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced {
            SizeHint::with_exact((self.left << 10) as u64)
        } else {
            SizeHint::default()
        }
    }
}

/// How many pieces are let through where ten may be.
async fn finished(pieces: usize, announced: bool, stalls: bool) -> usize {
    let taken = Arc::<AtomicUsize>::default();
    let body = Pieces {
        left: pieces,
        taken: Arc::clone(&taken),
        announced,
        stalls,
    };
    let_finish(body, 10 << 10).await;
    taken.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_is_let_through_within_bounds() {
    let began = Instant::now();
    assert_eq!(finished(10, false, false).await, 10);
    assert_eq!(finished(10, true, false).await, 10);
    assert_eq!(
        finished(100, false, false).await,
        11,
        "as much as there may be"
    );
    assert_eq!(finished(100, true, false).await, 0, "it would be in vain");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(finished(1, false, true).await, 1);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6));
}

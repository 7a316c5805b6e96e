//! The two doors over real sockets.

use std::sync::Arc;
use std::time::Duration;

use cockpit_model::{Event, EventBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Fake, Feed, TOKEN, fake, sample, ui};
use crate::{Access, SignIn, router, serve_tcp, serve_unix};

struct Tcp {
    port: u16,
    fake: Arc<Fake>,
    feed: Feed,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn tcp() -> Tcp {
    let (fake, feed) = fake();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let access = Access {
        token: TOKEN.into(),
        listen,
        allowed_hosts: vec!["mac.tailnet.ts.net".into()],
        allowed_origins: Vec::new(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let router = router(fake.clone(), ui(), SignIn::new(TOKEN));
    let serving = tokio::spawn(serve_tcp(listener, router, access, async {
        let _ = stopped.await;
    }));
    Tcp {
        port: listen.port(),
        fake,
        feed,
        stop,
        serving,
    }
}

impl Tcp {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends a head (with `PORT` replaced) and reads until the connection ends.
    async fn raw(&self, head: &str) -> String {
        let head = head.replace("PORT", &self.port.to_string());
        exchange(self.connect().await, &head).await
    }
}

async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A peer that refuses may reset what we still send.
    let _ = io.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

const CLOSE: &str = "connection: close\r\n\r\n";

#[tokio::test]
async fn over_tcp_a_token_is_needed() {
    let tcp = tcp().await;
    let host = "host: 127.0.0.1:PORT\r\n";
    let open = tcp
        .raw(&format!("GET /api/status HTTP/1.1\r\n{host}{CLOSE}"))
        .await;
    assert_eq!(status(&open), "401", "{open}");
    assert!(open.contains("\"code\":\"unauthorized\""), "{open}");
    let wrong = tcp
        .raw(&format!(
            "GET /api/status HTTP/1.1\r\n{host}authorization: Bearer no\r\n{CLOSE}"
        ))
        .await;
    assert_eq!(status(&wrong), "401");
    let right = tcp
        .raw(&format!(
            "GET /api/status HTTP/1.1\r\n{host}authorization: Bearer {TOKEN}\r\n{CLOSE}"
        ))
        .await;
    assert_eq!(status(&right), "200", "{right}");
    for path in ["/healthz", "/readyz", "/", "/assets/app-1a2b.js"] {
        let public = tcp
            .raw(&format!("GET {path} HTTP/1.1\r\n{host}{CLOSE}"))
            .await;
        assert_eq!(status(&public), "200", "{path}: {public}");
    }
    for answer in [open, wrong, right] {
        assert!(!answer.contains(TOKEN));
    }
}

#[tokio::test]
async fn over_tcp_a_foreign_host_or_origin_gets_nothing_not_even_a_page() {
    let tcp = tcp().await;
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    for path in ["/", "/healthz", "/api/status", "/nothing"] {
        for host in [
            "host: evil.example\r\n",
            "host: 127.0.0.1:1\r\n",
            "host: evil.example:PORT\r\n",
            "",
        ] {
            let answer = tcp
                .raw(&format!("GET {path} HTTP/1.1\r\n{host}{token}{CLOSE}"))
                .await;
            assert_eq!(status(&answer), "403", "{host}{answer}");
            assert!(answer.contains("\"code\":\"forbidden_host\""));
            assert!(answer.contains("x-content-type-options: nosniff"));
        }
        let answer = tcp
            .raw(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\norigin: http://evil.example\r\n{token}{CLOSE}"))
            .await;
        assert_eq!(status(&answer), "403");
        assert!(answer.contains("\"code\":\"forbidden_origin\""));
    }
    let absolute = tcp
        .raw(&format!(
            "GET http://evil.example/api/status HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n{token}{CLOSE}"
        ))
        .await;
    assert_eq!(status(&absolute), "403");
    let named = tcp
        .raw(&format!("GET /api/status HTTP/1.1\r\nhost: mac.tailnet.ts.net\r\norigin: https://mac.tailnet.ts.net\r\n{token}{CLOSE}"))
        .await;
    assert_eq!(status(&named), "200");
    assert_eq!(tcp.fake.asked(), [""; 0]);
}

#[tokio::test]
async fn over_the_unix_socket_no_token_is_needed() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (fake, _feed) = fake();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve_unix(
        listener,
        router(fake, ui(), SignIn::new(TOKEN)),
        async {
            let _ = stopped.await;
        },
    ));
    let ask = |head: String| {
        let path = path.clone();
        async move { exchange(UnixStream::connect(path).await.unwrap(), &head).await }
    };
    let answer = ask(format!(
        "GET /api/status HTTP/1.1\r\nhost: whatever\r\n{CLOSE}"
    ))
    .await;
    assert_eq!(status(&answer), "200", "{answer}");
    let answer = ask(format!(
        "POST /api/services/api/restart HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{CLOSE}"
    ))
    .await;
    assert_eq!(status(&answer), "200", "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(UnixStream::connect(&path).await.is_err());
}

#[tokio::test]
async fn what_is_not_http_is_turned_away() {
    let tcp = tcp().await;
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "hello\r\n\r\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
    ] {
        let answer = tcp.raw(garbage).await;
        assert!(
            answer.is_empty() || status(&answer).starts_with('4') || status(&answer) == "505",
            "{garbage:?}: {answer}"
        );
    }
    let huge = format!(
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\nx: {}\r\n{CLOSE}",
        "x".repeat(100_000)
    );
    let answer = tcp.raw(&huge).await;
    assert!(answer.is_empty() || status(&answer) == "431", "{answer}");
    let answer = tcp
        .raw(&format!(
            "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n{CLOSE}"
        ))
        .await;
    assert_eq!(status(&answer), "200", "it goes on for everyone else");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let tcp = tcp().await;
    let answer = tcp
        .raw(&format!(
            "POST /api/login HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: 99999999999\r\n{CLOSE}"
        ))
        .await;
    assert_eq!(status(&answer), "413", "{answer}");
    assert!(answer.contains("\"code\":\"too_large\""));
}

#[tokio::test]
async fn a_head_that_never_ends_does_not_hold_its_place() {
    let tcp = tcp().await;
    let mut slow = tcp.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    // Ends by the door's own limit, or the test hangs.
    let _ = slow.read_to_end(&mut rest).await;
    let answer = tcp
        .raw(&format!(
            "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n{CLOSE}"
        ))
        .await;
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn more_connections_than_there_are_places_wait_for_one() {
    let tcp = tcp().await;
    let mut held = Vec::new();
    for _ in 0..160 {
        held.push(tcp.connect().await);
    }
    let head = format!("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n{CLOSE}");
    // While all places are held, this one waits; it is answered once they are given back.
    let waiting = tcp.raw(&head);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
    assert!(early.is_err(), "answered although every place is held");
    drop(held);
    assert_eq!(status(&waiting.await), "200");
}

async fn ask_for_the_stream(io: &mut (impl AsyncWriteExt + Unpin), port: u16) {
    let head = format!(
        "GET /api/events/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_reading_does_not_hold_its_place() {
    let tcp = tcp().await;
    let mut io = tcp.connect().await;
    ask_for_the_stream(&mut io, tcp.port).await;
    let event = Event {
        seq: 1,
        at: sample::at(),
        body: EventBody::Cockpit {
            level: "warning".to_owned(),
            message: "x".repeat(1 << 16),
        },
    };
    // The stream takes them until the sockets are full, and is let go of when they stay full.
    let let_go = async { while tcp.feed.events.send(event.clone()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(3600), let_go)
        .await
        .expect("it is let go of");
    drop(io);
}

#[tokio::test]
async fn stopping_ends_live_streams_and_the_listener() {
    let tcp = tcp().await;
    let mut io = tcp.connect().await;
    ask_for_the_stream(&mut io, tcp.port).await;
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(": open") {
        assert_ne!(io.read_buf(&mut text).await.unwrap(), 0);
    }
    tcp.stop.send(()).unwrap();
    tcp.serving.await.unwrap();
    io.read_to_end(&mut text).await.unwrap();
    assert!(
        text.ends_with(b"0\r\n\r\n"),
        "the stream ends whole, it is not cut"
    );
    assert!(TcpStream::connect(("127.0.0.1", tcp.port)).await.is_err());
    drop(tcp.feed);
}

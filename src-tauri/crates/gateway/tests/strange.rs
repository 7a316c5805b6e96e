//! Upstreams that lie about what they send, and callers that are slow, rude or gone: the right answer, the right
//! record, nothing stuck, nothing left open.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use cockpit_model::traffic::{Budget, ProviderKind};
use cockpit_model::{Outcome, Usd};
use common::*;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What an upstream does once it has read a request.
#[derive(Clone, Copy)]
enum Then {
    /// Writes this and closes.
    Close(&'static str),
    /// Writes this and leaves the connection open.
    Stay(&'static str),
    /// Resets the connection.
    Reset,
    /// Writes this, then `x` without end.
    Endless(&'static str),
    /// Writes a head of so many bytes.
    LongHead(usize),
}

/// An upstream that answers every request alike, and tells when a connection to it has ended.
async fn liar(then: Then) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let ended = ended.clone();
            tokio::spawn(async move {
                lie(stream, then).await;
                let _ = ended.send(());
            });
        }
    });
    (address, ends)
}

async fn lie(mut stream: TcpStream, then: Then) {
    let mut asked = Vec::new();
    // Every request here ends in its body's closing brace.
    while !asked.ends_with(b"}") {
        if stream.read_buf(&mut asked).await.unwrap_or(0) == 0 {
            return;
        }
    }
    match then {
        Then::Close(text) => drop(stream.write_all(text.as_bytes()).await),
        Then::Stay(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            // Until the other side goes.
            let _ = stream.read(&mut [0; 64]).await;
        }
        #[allow(deprecated, reason = "a reset is what is wanted, and nothing waits")]
        Then::Reset => drop(stream.set_linger(Some(Duration::ZERO))),
        Then::Endless(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let piece = vec![b'x'; 16 * 1024];
            while stream.write_all(&piece).await.is_ok() {}
        }
        Then::LongHead(size) => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            let line = format!("x-long: {}\r\n", "x".repeat(1000));
            for _ in 0..size / line.len() {
                if stream.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"content-length: 0\r\n\r\n").await;
        }
    }
}

async fn rig(then: Then) -> (Rig, mpsc::UnboundedReceiver<()>) {
    let (address, ends) = liar(then).await;
    let one = provider(
        "openai",
        ProviderKind::OpenAi,
        format!("http://{address}/v1"),
    );
    (Rig::new(spec(vec![one], Vec::new())).await, ends)
}

const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn what_upstreams_say_of_themselves_is_not_believed() {
    let cases = [
        // A length that is too large; the connection closes, or stays.
        (
            Then::Close("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"choices\":[]}"),
            502,
            "provider_invalid_answer",
        ),
        // Chunks that are none.
        (
            Then::Close("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
            502,
            "provider_invalid_answer",
        ),
        // A chunk without the last one.
        (
            Then::Close("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
            502,
            "provider_invalid_answer",
        ),
        // No HTTP at all.
        (
            Then::Close("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            502,
            "provider_unreachable",
        ),
        (
            Then::Close("HTTP/1.1 999999 What\r\n\r\n"),
            502,
            "provider_unreachable",
        ),
        (Then::Close(""), 502, "provider_unreachable"),
        (Then::Reset, 502, "provider_unreachable"),
        (Then::LongHead(4 << 20), 502, "provider_unreachable"),
        // A stream that is over before it said anything.
        (
            Then::Close(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            502,
            "provider_unreachable",
        ),
    ];
    for (number, (then, status, code)) in cases.into_iter().enumerate() {
        let (rig, _) = rig(then).await;
        let answer = rig.post("/v1/chat/completions", &chat("gpt-4o")).await;
        assert_eq!(answer.status(), status, "{number}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{number}: {body}");
        let call = rig.call().await;
        assert_eq!(call.outcome, Outcome::Error, "{number}");
        assert_eq!(call.input_tokens, None, "{number}: nothing was told");
        // Whoever began to answer has worked.
        let worked = call.price_version.as_deref().unwrap_or_default();
        assert_eq!(
            worked.ends_with("+estimated"),
            code == "provider_invalid_answer",
            "{number}: {call:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_longer_than_it_said_is_cut_there() {
    let text = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}{\"choices\":[{}]}HTTP/1.1 200 OK\r\n\r\n";
    let (rig, _) = rig(Then::Stay(text)).await;
    for _ in 0..2 {
        // What is beyond is not taken for the answer to the next request.
        let answer = rig.post("/v1/chat/completions", &chat("gpt-4o")).await;
        assert_eq!(answer.text().await.unwrap(), "{}");
        let call = rig.call().await;
        assert_eq!(
            call.error.as_deref(),
            Some("provider_empty_answer"),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_handed_on_and_not_followed() {
    let (rig, _) = rig(Then::Close(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/elsewhere\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream
        .write_all(&request(&chat("gpt-4o"), "connection: close\r\n"))
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    assert!(answer.contains("location: http://127.0.0.1:9/elsewhere"));
    let call = rig.call().await;
    assert_eq!(
        (call.error.as_deref(), call.attempts),
        (Some("provider_redirected"), 1)
    );
}

#[tokio::test]
async fn an_endless_answer_ends_with_its_caller() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"x\":\"",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ",
    ] {
        let (rig, mut ends) = rig(Then::Endless(head)).await;
        let answer = rig
            .post("/v1/chat/completions", &streamed(chat("gpt-4o")))
            .await;
        assert_eq!(answer.status(), 200);
        let mut pieces = answer.bytes_stream();
        let mut size = 0;
        while size < 20 << 20 {
            size += pieces.next().await.unwrap().unwrap().len();
        }
        drop(pieces);
        let call = rig.call().await;
        assert_eq!(call.outcome, Outcome::Cancelled);
        tokio::time::timeout(PATIENCE, ends.recv())
            .await
            .expect("the upstream is let go");
    }
}

/// A request as bytes.
fn request(body: &Value, headers: &str) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const WHOLE: &str = "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}";

async fn honest() -> Rig {
    let text: &'static str = format!("{JSON}content-length: {}\r\n\r\n{WHOLE}", WHOLE.len()).leak();
    rig(Then::Close(text)).await.0
}

#[tokio::test]
async fn requests_in_one_go_are_answered_in_turn() {
    let rig = honest().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let both = [
        request(&chat("gpt-4o"), ""),
        request(&chat("other"), "connection: close\r\n"),
    ];
    stream.write_all(&both.concat()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    let models = [rig.call().await.model, rig.call().await.model];
    assert_eq!(models, ["gpt-4o", "other"]);
}

#[tokio::test]
async fn callers_of_old_are_answered_to_the_end_of_the_connection() {
    let rig = honest().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let old = String::from_utf8(request(&chat("gpt-4o"), "")).unwrap();
    stream
        .write_all(old.replace("HTTP/1.1", "HTTP/1.0").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 200") && answer.ends_with(WHOLE),
        "{answer}"
    );
    assert!(!answer.contains("chunked"));
    assert_eq!(rig.call().await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn many_who_only_wait_are_in_nobodys_way() {
    let rig = honest().await;
    let mut waiting = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(b"POST /v1/chat/compl").await.unwrap();
        waiting.push(stream);
    }
    let answer = rig.post("/v1/chat/completions", &chat("gpt-4o")).await;
    assert_eq!(answer.status(), 200);
    rig.call().await;
    drop(waiting);
    rig.no_call().await;
}

#[tokio::test]
async fn a_caller_gone_before_the_end_of_its_request_is_written_down_and_asks_nobody() {
    let rig = honest().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let whole = request(&chat("gpt-4o"), "");
    stream.write_all(&whole[..whole.len() - 10]).await.unwrap();
    drop(stream);
    let call = rig.call().await;
    assert_eq!(call.attempts, 0);
    assert_ne!(call.outcome, Outcome::Ok);
}

#[tokio::test]
async fn strange_heads_are_refused_and_nothing_is_asked() {
    let rig = honest().await;
    let long = format!(
        "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "x".repeat(300_000)
    );
    let both = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ntransfer-encoding: nonsense\r\n\r\n{}";
    for head in [
        &long,
        both,
        "GARBAGE\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        // The gateway may hang up before all is written.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{head:.60}: {answer}"
        );
    }
    rig.no_call().await;
}

/// Waits as long as it takes, in no time: whenever nothing else can happen, the clock goes on.
#[tokio::test(start_paused = true)]
async fn who_is_too_slow_is_let_go() {
    let rig = honest().await;
    let mut head = TcpStream::connect(rig.address).await.unwrap();
    head.write_all(b"POST /v1/chat/completions HTT")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = head.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );

    let mut body = TcpStream::connect(rig.address).await.unwrap();
    let whole = request(&chat("gpt-4o"), "");
    body.write_all(&whole[..whole.len() - 10]).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("caller_too_slow") {
        assert!(body.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 408"));
    assert_eq!(rig.call().await.error.as_deref(), Some("caller_too_slow"));
}

#[tokio::test]
async fn who_hangs_up_before_the_end_pays_for_what_was_written() {
    let openai = double("openai", &["--tokens-per-second", "200"]).await;
    let one = provider(
        "openai",
        ProviderKind::OpenAi,
        format!("http://{openai}/v1"),
    );
    let mut traffic = spec(vec![one], Vec::new());
    traffic.budget = Budget {
        daily: Usd::from_dollars(0.001),
        monthly: None,
    };
    let rig = Rig::new(traffic).await;
    // The double takes what follows the `!` for a fault; the price is that of the model before it.
    let mut request = streamed(chat("gpt-4o"));
    request["max_tokens"] = json!(20);
    let mut refused = false;
    for _ in 0..200 {
        let answer = rig.post("/v1/chat/completions", &request).await;
        if answer.status() == 402 {
            refused = true;
            break;
        }
        assert_eq!(answer.status(), 200);
        let mut stream = answer.bytes_stream();
        for _ in 0..3 {
            stream.next().await.unwrap().unwrap();
        }
        drop(stream);
        let call = rig.call().await;
        assert_eq!(call.outcome, Outcome::Cancelled);
        assert_eq!(
            (call.input_tokens, call.output_tokens),
            (None, None),
            "it was not told"
        );
        assert!(call.cost_usd.unwrap() > Usd::ZERO);
        assert!(call.price_version.unwrap().ends_with("+estimated"));
    }
    assert!(refused, "the budget never came to its end");
}

#[tokio::test]
async fn what_nobody_asked_for_is_not_seen() {
    let doubles = Doubles::start().await;
    let rig = Rig::new(spec(doubles.providers(), Vec::new())).await;
    let answer = rig
        .post("/v1/chat/completions", &streamed(chat("openai/gpt-4o")))
        .await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("[DONE]") && !text.contains("usage"), "{text}");
    assert!(rig.call().await.output_tokens.unwrap() > 0);
    let mut asking = streamed(chat("openai/gpt-4o"));
    asking["stream_options"] = json!({"include_usage": true});
    let answer = rig.post("/v1/chat/completions", &asking).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("\"usage\":null") && text.contains("prompt_tokens"));
}

/// A provider that answers as soon as it has the head of an upload, with so many bytes that tell over which of its
/// connections; it reads the rest, or not.
async fn hasty(size: usize, reads_on: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for connection in b'X'.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let said = format!("HTTP/1.1 413 No\r\ncontent-length: {size}\r\n\r\n");
                stream.write_all(said.as_bytes()).await.unwrap();
                stream.write_all(&vec![connection; size]).await.unwrap();
                if !reads_on {
                    std::future::pending::<()>().await;
                }
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n0\r\n\r\n") {
                    read.drain(..read.len().saturating_sub(7));
                    if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
            });
        }
    });
    address
}

async fn rig_with(address: SocketAddr) -> Rig {
    let base_url = format!("http://{address}/v1");
    let one = provider("openai", ProviderKind::OpenAi, base_url);
    Rig::new(spec(vec![one], Vec::new())).await
}

/// Uploads while it reads the answer, which is to be so many times this byte. Once that is there it `ends` its upload;
/// or it leaves off in the middle of it.
async fn upload(stream: &mut TcpStream, size: usize, says: u8, ends: bool) {
    let framing = if ends {
        "transfer-encoding: chunked"
    } else {
        "content-length: 1099511627776"
    };
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n{framing}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut answers, mut uploads) = stream.split();
    let answered = Cell::new(false);
    let reading = async {
        let (mut had, mut piece) = (0, vec![0; 1 << 16]);
        while had < size {
            let read = answers.read(&mut piece).await.unwrap_or(0);
            assert!(read > 0, "cut after {had} of {size} bytes");
            had += piece[..read].iter().filter(|byte| **byte == says).count();
        }
        answered.set(true);
    };
    let piece = format!("10000\r\n{}\r\n", "-".repeat(1 << 16));
    let uploading = async {
        while !answered.get() {
            uploads.write_all(piece.as_bytes()).await.unwrap();
        }
        uploads.write_all(b"0\r\n\r\n").await.unwrap();
    };
    if ends {
        tokio::join!(reading, uploading);
    } else {
        tokio::select! {
            () = reading => {}
            () = uploading => {}
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_is_had_whole() {
    // More than the sockets on the way hold.
    let size = 16 << 20;
    let rig = rig_with(hasty(size, true).await).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    // Neither end has heard of anything that would keep the caller from asking again over its connection.
    for connection in b'X'..=b'Z' {
        upload(&mut stream, size, connection, true).await;
    }
    // Nor is anybody in the way of others who does not read what nobody needs.
    let rig = rig_with(hasty(1000, false).await).await;
    for connection in b'X'..=b'Z' {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        upload(&mut stream, 1000, connection, false).await;
    }
}

#[tokio::test]
async fn an_upload_without_end_ends_soon_after_its_answer() {
    let rig = rig_with(hasty(1000, true).await).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    upload(&mut stream, 1000, b'X', false).await;
    let goes_on = async { while stream.write_all(&[b'-'; 1 << 16]).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, goes_on)
        .await
        .expect("it is let go of");
}

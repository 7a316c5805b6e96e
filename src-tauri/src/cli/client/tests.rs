//! The client against a socket that says exactly what the test wants.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::VecDeque;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

/// Answers each connection with the next of the texts, as they are; gives back what was asked.
struct Script {
    _folder: tempfile::TempDir,
    client: Client,
    asked: JoinHandle<Vec<String>>,
}

fn script(answers: &[&str]) -> Script {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut answers: VecDeque<String> = answers.iter().map(|&a| a.to_owned()).collect();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some(answer) = answers.pop_front() {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                io.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request);
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: "))
                        .map_or(0, |length| length.parse().unwrap());
                    if body.len() == length {
                        break;
                    }
                }
            }
            asked.push(String::from_utf8(request).unwrap());
            io.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    Script {
        _folder: folder,
        client: Client::new(socket),
        asked,
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn nobody_there_is_not_running() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let client = Client::new(&socket);
    assert_eq!(
        client.get_bytes("/x").await.unwrap_err().code,
        Code::NotRunning
    );
    // A socket file that a killed engine left behind.
    drop(UnixListener::bind(&socket).unwrap());
    let problem = client.get_bytes("/x").await.unwrap_err();
    assert_eq!(problem.code, Code::NotRunning);
    assert!(problem.remedy.unwrap().contains("serve"));
}

#[tokio::test]
async fn questions_and_orders_go_through_whole() {
    let script = script(&[
        &answer("200 OK", "[1,2]"),
        &answer("200 OK", "{\"ok\":true}"),
    ]);
    let list: Vec<u8> = script.client.get("/api/list?x=1").await.unwrap();
    assert_eq!(list, [1, 2]);
    let done: Value = script
        .client
        .post("/api/do", &json!({"on": true}))
        .await
        .unwrap();
    assert_eq!(done["ok"], true);
    let asked = script.asked.await.unwrap();
    assert!(asked[0].starts_with("GET /api/list?x=1 HTTP/1.1\r\n"));
    assert!(asked[1].starts_with("POST /api/do HTTP/1.1\r\n"));
    assert!(asked[1].contains("content-type: application/json"));
    assert!(asked[1].ends_with("{\"on\":true}"));
}

#[tokio::test]
async fn the_raw_answer_keeps_its_status() {
    let script = script(&[&answer("404 Not Found", "gone")]);
    let (status, body) = script.client.request("GET", "/x", None).await.unwrap();
    assert_eq!((status.as_u16(), body.as_ref()), (404, b"gone".as_slice()));
}

#[tokio::test]
async fn a_refusal_is_the_engines_own_problem() {
    let problem = r#"{"type":"about:blank","status":409,"code":"busy","title":"it is being started","remedy":"wait"}"#;
    let script = script(&[&answer("409 Conflict", problem), &answer("500 X", "<html>")]);
    let got = script.client.get_bytes("/x").await.unwrap_err();
    assert_eq!(
        (got.code, got.title.as_str()),
        (Code::Busy, "it is being started")
    );
    assert_eq!(got.remedy.as_deref(), Some("wait"));
    let strange = script.client.get_bytes("/x").await.unwrap_err();
    assert_eq!(strange.code, Code::Internal);
    assert!(strange.detail.unwrap().contains("<html>"));
}

#[tokio::test]
async fn an_engine_that_dies_before_it_answers_is_not_running() {
    let script = script(&["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"]);
    for _ in 0..2 {
        let problem = script.client.get_bytes("/x").await.unwrap_err();
        assert_eq!(problem.code, Code::NotRunning);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let client = Client::new("/nowhere");
    for (method, path) in [
        ("GET", "x"),
        ("GET", "http://e/"),
        ("G T", "/"),
        ("GET", "/a b"),
        ("GET", "/a\r\nx: y"),
    ] {
        let problem = client.request(method, path, None).await.unwrap_err();
        assert_eq!(problem.code, Code::BadRequest, "{method} {path}");
    }
}

#[tokio::test]
async fn a_stream_resumes_and_gives_its_messages() {
    let whole = [
        STREAM.to_owned(),
        chunk(": open\n\n"),
        chunk("id: 8\nevent: mark\nda"),
        chunk("ta: {}\n\ndata: 2\n\n"),
        "0\r\n\r\n".to_owned(),
    ]
    .concat();
    let script = script(&[&whole]);
    let stream = script
        .client
        .stream("/api/events/stream", Some("7"))
        .await
        .unwrap();
    let messages: Vec<Message> = stream.map(Result::unwrap).collect().await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].event, "mark");
    assert_eq!(messages[0].last_id.as_deref(), Some("8"));
    assert_eq!(messages[1].data, "2");
    let asked = script.asked.await.unwrap();
    assert!(asked[0].contains("last-event-id: 7\r\n"));
    assert!(asked[0].contains("accept: text/event-stream\r\n"));
}

#[tokio::test]
async fn a_stream_that_is_cut_says_so_after_its_last_message() {
    let cut = [STREAM.to_owned(), chunk("data: 1\n\n")].concat();
    let refused = answer(
        "404 Not Found",
        r#"{"code":"unknown_service","title":"no"}"#,
    );
    let script = script(&[&cut, &refused]);
    let mut stream = Box::pin(script.client.stream("/x", None).await.unwrap());
    assert_eq!(stream.next().await.unwrap().unwrap().data, "1");
    assert_eq!(
        stream.next().await.unwrap().unwrap_err().code,
        Code::NotRunning
    );
    assert!(stream.next().await.is_none());
    let refused = script.client.stream("/x", None).await;
    assert_eq!(refused.map(|_| ()).unwrap_err().code, Code::UnknownService);
}

#[test]
fn segments_are_encoded() {
    assert_eq!(encode("hf.co/a b:Q4"), "hf.co%2Fa%20b%3AQ4");
    assert_eq!(encode("ä"), "%C3%A4");
}

//! Live streams: what they carry, where they resume, how they end.

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use cockpit_model::{Event, EventBody, Mark};
use futures_util::StreamExt;

use super::{Entry, fake, request, sample};

/// Reads until the text holds what is wanted.
async fn until(stream: &mut BodyDataStream, text: &mut String, wanted: &str) {
    while !text.contains(wanted) {
        let piece = stream.next().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
}

fn event(seq: u64, body: EventBody) -> Event {
    Event {
        seq,
        at: sample::at(),
        body,
    }
}

fn mark() -> EventBody {
    EventBody::Mark(Mark::Slept { slept_ms: 1 })
}

#[tokio::test]
async fn events_carry_their_number_unless_they_only_paint_the_present() {
    let (fake, feed) = fake();
    let entry = Entry::new(fake.clone());
    let response = entry.send(request("GET", "/api/events/stream", "")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let mut stream = response.into_body().into_data_stream();
    feed.events.send(event(7, mark())).await.unwrap();
    feed.events
        .send(event(
            8,
            EventBody::ServiceRemoved {
                service: "api".into(),
            },
        ))
        .await
        .unwrap();
    feed.events
        .send(event(9, EventBody::Gap { missed: None }))
        .await
        .unwrap();
    feed.events.send(event(10, mark())).await.unwrap();
    let mut text = String::new();
    until(&mut stream, &mut text, "\"seq\":10").await;
    until(&mut stream, &mut text, "id: 10").await;
    let messages: Vec<&str> = text.split("\n\n").collect();
    let of = |seq: u64| {
        let data = format!("\"seq\":{seq},");
        *messages.iter().find(|m| m.contains(&data)).unwrap()
    };
    assert!(of(7).contains("event: mark") && of(7).contains("id: 7"));
    assert!(of(8).contains("event: service_removed") && !of(8).contains("id:"));
    assert!(of(9).contains("event: gap") && !of(9).contains("id:"));
    let data = of(7)
        .lines()
        .find_map(|l| l.strip_prefix("data: "))
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Event>(data).unwrap(),
        event(7, mark())
    );
    assert_eq!(fake.asked(), ["subscribe None"]);
}

#[tokio::test]
async fn a_reader_resumes_by_header_or_query_and_the_header_wins() {
    let with = |path: &str, header: Option<&str>| -> Request<Body> {
        let mut request = request("GET", path, "");
        if let Some(id) = header {
            request
                .headers_mut()
                .insert("last-event-id", id.parse().unwrap());
        }
        request
    };
    for (request, expected) in [
        (with("/api/events/stream", Some("41")), "subscribe Some(41)"),
        (
            with("/api/events/stream?last_event_id=42", None),
            "subscribe Some(42)",
        ),
        (
            with("/api/events/stream?last_event_id=42", Some("43")),
            "subscribe Some(43)",
        ),
        (
            with("/api/events/stream?last_event_id=42", Some("")),
            "subscribe Some(42)",
        ),
        (
            with("/api/events/stream?last_event_id=", None),
            "subscribe None",
        ),
    ] {
        let (fake, _feed) = fake();
        let entry = Entry::new(fake.clone());
        assert_eq!(entry.send(request).await.status(), 200);
        assert_eq!(fake.asked(), [expected]);
    }
}

#[tokio::test]
async fn a_followed_log_sends_lines_as_they_come() {
    let (fake, feed) = fake();
    let entry = Entry::new(fake.clone());
    let path = "/api/services/api/logs?follow=true&tail=3&grep=x";
    let response = entry.send(request("GET", path, "")).await;
    let mut stream = response.into_body().into_data_stream();
    feed.lines
        .send(sample::line("first\r\nsecond"))
        .await
        .unwrap();
    let mut text = String::new();
    until(&mut stream, &mut text, "second").await;
    until(&mut stream, &mut text, "\n\n").await;
    assert!(text.contains("event: line"), "{text}");
    let data = text.lines().find_map(|l| l.strip_prefix("data: ")).unwrap();
    assert_eq!(
        serde_json::from_str::<cockpit_model::logs::LogLine>(data).unwrap(),
        sample::line("first\r\nsecond")
    );
    drop(feed);
    while stream.next().await.is_some() {}
    assert_eq!(
        fake.asked(),
        ["follow api LogQuery { tail: 3, grep: Some(\"x\"), instance: None }"]
    );
}

#[tokio::test]
async fn streams_end_when_the_door_closes() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    let response = entry.send(request("GET", "/api/events/stream", "")).await;
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    until(&mut stream, &mut text, "open").await;
    entry.close();
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn the_stream_is_pulled_so_a_slow_reader_holds_up_only_itself() {
    let (fake, feed) = fake();
    let entry = Entry::new(fake);
    let response = entry.send(request("GET", "/api/events/stream", "")).await;
    // Nobody reads: what the stream does not take stays with the sender, which sees it is full.
    let mut taken = 0;
    while feed.events.try_send(event(taken, mark())).is_ok() {
        taken += 1;
        assert!(taken < 100, "an unread stream must not take without end");
    }
    drop(response);
    feed.events.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_has_a_heartbeat() {
    let (fake, _feed) = fake();
    let entry = Entry::new(fake);
    let response = entry.send(request("GET", "/api/events/stream", "")).await;
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    let begun = tokio::time::Instant::now();
    until(&mut stream, &mut text, ": heartbeat").await;
    assert_eq!(begun.elapsed().as_secs(), 15);
}

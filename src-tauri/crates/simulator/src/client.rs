//! The little HTTP that doubles need to talk to each other.
//!
//! HTTP/1.0, so that an answer ends with its connection.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One request to a double on this machine: the status and the whole body.
pub(crate) async fn request(
    port: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(Duration::from_secs(60), exchange)
        .await
        .context("no answer within 60 s")??;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("not an HTTP answer")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("an answer without a status")?;
    Ok((status, body.to_owned()))
}

/// A POST that must succeed, and its JSON answer.
pub(crate) async fn post_json(port: u16, path: &str, body: &Value) -> anyhow::Result<Value> {
    let (status, answer) = request(port, "POST", path, Some(body)).await?;
    anyhow::ensure!(status == 200, "answered {status}: {}", answer.trim());
    serde_json::from_str(&answer).context("the answer is not JSON")
}

//! A client that does nothing but write a request and read its answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A question as clients ask it.
pub(crate) fn body(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","user":"ada","temperature":0.7,"max_tokens":200,"stream":{stream},"messages":[{{"role":"system","content":"You answer in one short sentence."}},{{"role":"user","content":"What is a mole, and what does it eat?"}}]}}"#
    )
}

/// The same as bytes on a connection.
pub(crate) fn request(port: u16, model: &str, stream: bool) -> Vec<u8> {
    let body = body(model, stream);
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
         accept: application/json\r\nuser-agent: OpenAI/Python 3.54.0\r\nx-stainless-lang: python\r\n\
         authorization: Bearer sk-callers-own\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> Self {
        Self::try_open(port).expect("somebody listens")
    }

    /// The same where nobody may be there.
    pub(crate) fn try_open(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .ok()?;
        Some(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// The call's id, once all of an answer is here; `None`: whoever was asked is gone.
    pub(crate) fn call(&mut self, request: &[u8]) -> Option<String> {
        self.buffer.clear();
        self.stream.write_all(request).ok()?;
        loop {
            let mut piece = [0; 16 * 1024];
            let n = self.stream.read(&mut piece).ok().filter(|n| *n > 0)?;
            self.buffer.extend_from_slice(&piece[..n]);
            let Some(head) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
                continue;
            };
            let (head, body) = self.buffer.split_at(head + 4);
            if body.len() >= field(head, "content-length")?.parse().ok()? {
                return field(head, "x-cockpit-call-id");
            }
        }
    }

    /// Asks, and reads the answer to its end. How long it took: to the end, or of a stream to its first piece.
    pub(crate) fn ask(&mut self, request: &[u8], stream: bool) -> Duration {
        self.buffer.clear();
        let begin = Instant::now();
        self.stream.write_all(request).unwrap();
        let mut first = None;
        loop {
            let mut piece = [0; 16 * 1024];
            let n = self.stream.read(&mut piece).unwrap();
            assert!(n > 0, "the connection was closed");
            self.buffer.extend_from_slice(&piece[..n]);
            let Some(head) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
                continue;
            };
            let (head, body) = self.buffer.split_at(head + 4);
            if stream {
                if memchr::memmem::find(body, b"data:").is_some() {
                    first.get_or_insert_with(|| begin.elapsed());
                }
                if body.ends_with(b"\r\n0\r\n\r\n") {
                    return first.unwrap();
                }
            } else if body.len() >= field(head, "content-length").unwrap().parse().unwrap() {
                let took = begin.elapsed();
                assert!(head.starts_with(b"HTTP/1.1 200"));
                return took;
            }
        }
    }
}

fn field(head: &[u8], wanted: &str) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted)
            .then(|| value.trim().to_owned())
    })
}

//! The link to an instance's shim: the only file that knows its protocol and its process.
//!
//! A death travels `shim → socket → actor → socket → shim`: reading and writing happen in the actor itself, without a
//! task or a thread between.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cockpit_model::{Exit, Timestamp};
use cockpit_shim::protocol::{self, Inbox, VERSION};
pub(crate) use cockpit_shim::protocol::{
    ExitStatus, FromShim, LogSpec, Spawn, SpawnError, SpawnErrorKind, State, StopSpec, ToShim,
    Welcome,
};
use cockpit_shim::signal;
use cockpit_shim::tree::{self, Identity, pidfile};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::seat::Seat;

/// A shim that does not welcome within this is stopped, stuck, or none of ours.
const WELCOME_WITHIN: Duration = Duration::from_secs(2);
/// A shim that is not ready within this has failed to start.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What we tell the shim to keep for whoever comes after us.
/// A shim outlives the cockpit that started it: what an older one did not write takes its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Label {
    /// The service's name.
    pub(crate) service: String,
    /// Its instance.
    pub(crate) instance: u16,
    /// The port it was given.
    pub(crate) port: Option<u16>,
    /// Of the settings it was started with.
    pub(crate) fingerprint: String,
    /// When it was told to start.
    pub(crate) started_at: Timestamp,
    /// Restarts so far.
    pub(crate) restarts: u32,
    /// The number of the signal that ends it.
    pub(crate) stop_signal: i32,
    /// How long its tree may take.
    pub(crate) stop_grace_ms: u64,
    /// The text its readiness waits for, once it wrote it: the line itself may be rotated away.
    pub(crate) log_seen: Option<String>,
}

impl Label {
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// A connection to a shim that welcomed us.
pub(crate) struct Link {
    stream: UnixStream,
    inbox: Inbox,
    out: Vec<u8>,
    shim: Identity,
}

impl Link {
    /// Connects to the shim that has this seat.
    pub(crate) async fn connect(seat: &Seat) -> io::Result<(Self, Welcome)> {
        let stream = UnixStream::connect(&seat.socket).await?;
        let mut link = Self {
            stream,
            inbox: Inbox::new(),
            out: Vec::new(),
            shim: Identity::NOBODY,
        };
        link.send(&ToShim::Hello { version: VERSION })?;
        let welcome = timeout(WELCOME_WITHIN, link.welcome())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the shim does not answer"))??;
        link.shim = Identity {
            pid: welcome.shim_pid,
            start_time: welcome.shim_start_time,
        };
        Ok((link, welcome))
    }

    async fn welcome(&mut self) -> io::Result<Welcome> {
        loop {
            if let Some(message) = self.message()? {
                if let FromShim::Welcome(welcome) = message {
                    return Ok(*welcome);
                }
                continue;
            }
            self.exchange().await?;
        }
    }

    /// Starts a shim in this seat and connects to it.
    pub(crate) async fn launch(exe: &Path, seat: &Seat, name: &str) -> io::Result<(Self, Welcome)> {
        let mut child = tokio::process::Command::new(exe)
            .arg(&seat.socket)
            .arg(&seat.pidfile)
            .arg("--instance")
            .arg(&seat.marker)
            .arg("--name")
            .arg(name)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/")
            .spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ready = async {
            let mut line = String::new();
            if let Some(stdout) = stdout {
                BufReader::new(stdout).read_line(&mut line).await?;
            }
            if line.trim_end() == "ready" {
                return Ok(());
            }
            let mut said = String::new();
            if let Some(stderr) = stderr {
                let _ = stderr.take(4096).read_to_string(&mut said).await;
            }
            Err(io::Error::other(match said.trim() {
                "" => "the shim ended before it was ready".to_owned(),
                said => said.to_owned(),
            }))
        };
        let outcome = timeout(READY_WITHIN, ready).await.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the shim does not become ready",
            ))
        });
        if outcome.is_err() {
            let _ = child.start_kill();
        }
        // It lives longer than we may; while we live, somebody must reap it.
        tokio::spawn(async move { child.wait().await });
        outcome?;
        Self::connect(seat).await
    }

    /// The shim's own pid.
    pub(crate) const fn shim_pid(&self) -> u32 {
        self.shim.pid
    }

    /// Which process the shim is.
    pub(crate) const fn shim(&self) -> Identity {
        self.shim
    }

    /// Sends at once what the socket takes; [`Self::next`] sends the rest.
    pub(crate) fn send(&mut self, message: &ToShim) -> io::Result<()> {
        protocol::encode(message, &mut self.out).map_err(io::Error::other)?;
        self.flush()
    }

    /// Has it sent together with the next message.
    pub(crate) fn queue(&mut self, message: &ToShim) {
        // What is too long for a frame is left out: nothing that matters goes this way.
        let _ = protocol::encode(message, &mut self.out);
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.try_write(&self.out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => drop(self.out.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn message(&mut self) -> io::Result<Option<FromShim>> {
        self.inbox.next_message().map_err(io::Error::other)
    }

    /// Waits until something can be read (or the rest be written) and does it. Loses nothing if dropped.
    async fn exchange(&mut self) -> io::Result<()> {
        let interest = match self.out.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let ready = self.stream.ready(interest).await?;
        if ready.is_writable() {
            self.flush()?;
        }
        if ready.is_readable() {
            let mut bytes = [0; 8192];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.inbox.push(bytes.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Everything the shim says, as it comes; an error is the end of the link. Loses nothing if dropped.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<FromShim>> {
        let mut messages = Vec::new();
        loop {
            while let Some(message) = self.message()? {
                messages.push(message);
            }
            if !messages.is_empty() {
                return Ok(messages);
            }
            self.exchange().await?;
        }
    }

    /// Waits until the shim has ended (it was told to quit), at most `limit`.
    pub(crate) async fn closed(mut self, limit: Duration) {
        let _ = timeout(limit, async { while self.next().await.is_ok() {} }).await;
    }
}

/// Ends what a dead shim left, and the shim if it is stuck. Returns when nothing is left; the seat is free then.
/// Blocks: up to the grace and some seconds.
pub(crate) fn recover(seat: &Seat, stop: StopSpec) -> Result<(), String> {
    let left = match pidfile::read(&seat.pidfile) {
        Ok(left) => left,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            seat.clear();
            return Ok(());
        }
        Err(e) => {
            // Without it the marker still finds what was started.
            tracing::warn!("{e}");
            pidfile::PidFile {
                shim: Identity::NOBODY,
                marker: seat.marker.clone(),
                leader: None,
            }
        }
    };
    for round in 0..200 {
        if !left.shim.is_alive() {
            break;
        }
        if round == 199 {
            return Err(format!("the shim (pid {}) cannot be ended", left.shim.pid));
        }
        left.shim.signal(rustix::process::Signal::KILL);
        std::thread::sleep(Duration::from_millis(10));
    }
    let grace = Duration::from_millis(stop.grace_ms);
    tree::end_marked(&left.marker, left.leader, stop.signal, grace).map_err(|e| e.to_string())?;
    seat.clear();
    Ok(())
}

/// A living shim that cannot be reached for so long is given up.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);
/// So long between two attempts to reach it.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The living shim of a seat, or none: its process is gone, or it was silent for [`SILENCE`]. Whatever else goes wrong
/// on the way (we are out of files, it is overloaded) says nothing about its health, and is tried again. One that was
/// stopped by hand (SIGSTOP) is woken.
pub(crate) async fn find(seat: &Seat) -> Option<(Link, Welcome)> {
    let give_up = tokio::time::Instant::now() + SILENCE;
    loop {
        let error = match Link::connect(seat).await {
            Ok(found) => return Some(found),
            Err(error) => error,
        };
        if nobody_is_there(seat, &error) {
            return None;
        }
        if tokio::time::Instant::now() >= give_up {
            tracing::error!(
                "the shim at {} is given up after {} s: {error}",
                seat.socket.display(),
                SILENCE.as_secs()
            );
            return None;
        }
        if error.kind() == io::ErrorKind::TimedOut {
            wake(seat);
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Whether a failed connection means that the shim's process is gone.
fn nobody_is_there(seat: &Seat, error: &io::Error) -> bool {
    if !can_look() {
        return false;
    }
    match pidfile::read(&seat.pidfile) {
        Ok(left) => is_dead(left.shim),
        // It never came so far, or was tidied away: only the socket can tell.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData
            ) =>
        {
            matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            )
        }
        Err(_) => false,
    }
}

/// Whether this process is certainly gone.
pub(crate) fn is_dead(shim: Identity) -> bool {
    can_look() && !shim.is_alive()
}

/// Without a file to open, nothing can be read about any process, and all would look dead.
fn can_look() -> bool {
    std::fs::File::open("/dev/null").is_ok()
}

/// Wakes a shim that somebody stopped (SIGSTOP).
pub(crate) fn wake(seat: &Seat) {
    if let Ok(left) = pidfile::read(&seat.pidfile) {
        left.shim.signal(rustix::process::Signal::CONT);
    }
}

/// The shim's exit in the house's words.
pub(crate) fn exit_of(exit: &protocol::Exit) -> Exit {
    let (code, signal) = match exit.status {
        ExitStatus::Code(code) => (Some(code), None),
        ExitStatus::Signal(number) => (None, Some(signal::name(number).into_owned())),
    };
    Exit {
        code,
        signal,
        at: micros(exit.at_micros),
        last_lines: exit.last_lines.clone(),
    }
}

/// Unix microseconds as a time.
pub(crate) fn micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn labels_of_older_and_newer_cockpits_are_read() {
        let older = br#"{"service":"api","instance":2,"port":null,"fingerprint":"f","started_at":"2026-11-23T06:00:00Z","restarts":1}"#;
        let label = Label::decode(older).unwrap();
        assert_eq!((label.service.as_str(), label.instance), ("api", 2));
        assert_eq!(label.log_seen, None);
        assert!(Label::decode(br#"{"service":"api","later":[1]}"#).is_some());
        assert_eq!(Label::decode(&label.encode()), Some(label));
        assert_eq!(Label::decode(b""), None);
    }
}

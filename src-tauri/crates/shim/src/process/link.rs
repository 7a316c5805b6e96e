//! A connection to an engine: non-blocking, what does not go out now waits.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::protocol::{self, FromShim, Inbox, ToShim, encode};

/// An engine that leaves so many bytes unread is given up.
const LIMIT: usize = 4 * 1024 * 1024;
/// Above this, no live lines are added.
const HIGH: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    inbox: Inbox,
    out: Vec<u8>,
    sent: usize,
}

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Gone {
    /// The engine closed it, or it broke.
    Closed,
    /// It spoke another language.
    Garbled(#[allow(dead_code, reason = "for the debugger")] protocol::Error),
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            inbox: Inbox::new(),
            out: Vec::new(),
            sent: 0,
        })
    }

    /// The messages that arrived; what came before the end of the connection is given first.
    pub(super) fn receive(&mut self) -> (Vec<ToShim>, Result<(), Gone>) {
        let mut messages = Vec::new();
        let mut bytes = [0; 8192];
        loop {
            let end = match self.stream.read(&mut bytes) {
                Ok(0) => Err(Gone::Closed),
                Ok(n) => {
                    self.inbox.push(bytes.get(..n).unwrap_or_default());
                    loop {
                        match self.inbox.next_message() {
                            Ok(Some(message)) => messages.push(message),
                            Ok(None) => break,
                            Err(e) => return (messages, Err(Gone::Garbled(e))),
                        }
                    }
                    if n == bytes.len() {
                        continue;
                    }
                    Ok(())
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e.into()),
            };
            return (messages, end);
        }
    }

    /// Adds a message, which [`Link::flush`] sends; whether it fits into a frame.
    pub(super) fn send(&mut self, message: &FromShim) -> bool {
        encode(message, &mut self.out).is_ok()
    }

    /// Room for live lines, if they may be added now.
    pub(super) fn room(&mut self) -> Option<&mut Vec<u8>> {
        (self.out.len() - self.sent < HIGH).then_some(&mut self.out)
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.sent == self.out.len()
    }

    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        while let Some(rest @ [_, ..]) = self.out.get(self.sent..) {
            match self.stream.write(rest) {
                Ok(0) => return Err(Gone::Closed),
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.out.drain(..self.sent);
                    self.sent = 0;
                    if self.out.len() > LIMIT {
                        return Err(Gone::Closed);
                    }
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.out.clear();
        self.out.shrink_to(4096);
        self.sent = 0;
        Ok(())
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

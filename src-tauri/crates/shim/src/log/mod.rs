//! Log files in the CRI format, written with a strict bound on the disk and read from their end.
//!
//! ```text
//! 2026-11-23T06:03:25.123456789Z stdout F a whole line
//! 2026-11-23T06:03:26.000000000Z stderr P the first 16 KiB of a very long line…
//! 2026-11-23T06:03:26.000000000Z stderr F …and its end
//! ```
//!
//! `NAME.log` is the live file, `NAME.log.1` the one before, up to `NAME.log.KEEP`. A record is never split over
//! two files.

pub(crate) mod lines;
pub mod reader;
mod record;
mod writer;

pub use writer::{Health, Writer};

/// Which of a child's outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The cockpit's own remarks.
    Cockpit,
}

impl Stream {
    /// As written in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Cockpit => "cockpit",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Cockpit => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::Cockpit,
            _ => return None,
        })
    }
}

/// One line, its fragments joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was read from the child, in Unix nanoseconds.
    pub at_nanos: i64,
    /// Which output.
    pub stream: Stream,
    /// Its text without the newline; what is not UTF-8 is replaced.
    pub text: String,
}

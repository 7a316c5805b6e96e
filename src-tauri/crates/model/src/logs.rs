//! Lines a service wrote.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The cockpit's own remarks (`started pid 4711`, `exited with 1`).
    Cockpit,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// Which instance wrote it.
    pub instance: u16,
    /// Where to.
    pub stream: Stream,
    /// Its text, without the line end; invalid UTF-8 replaced.
    pub text: String,
}

/// What of the log is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// The last so many lines (that match).
    pub tail: usize,
    /// Only lines holding this plain text, letters of either case alike.
    pub grep: Option<String>,
    /// Only of this instance.
    pub instance: Option<u16>,
}

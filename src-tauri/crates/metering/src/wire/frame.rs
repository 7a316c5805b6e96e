//! What the framings have in common.

/// The largest event that is read. A larger one is passed over, and counted.
pub const MAX_FRAME: usize = 1024 * 1024;

/// One event of a stream, or one blank line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says; empty for a comment, a blank line, or an event that is too long.
    pub data: &'a [u8],
    /// Where it ends in the chunk that completed it.
    pub end: usize,
    /// Whether it was longer than [`MAX_FRAME`] and was not read.
    pub oversized: bool,
}

/// A line that began in an earlier chunk.
#[derive(Debug, Default)]
pub(super) struct Carry {
    bytes: Vec<u8>,
    long: bool,
}

/// Beyond [`MAX_FRAME`]: room for a byte order mark, a field's name, and more.
const ROOM: usize = 16;

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the line is longer than any that is read; then only its beginning is kept.
    pub(super) fn is_long(&self) -> bool {
        self.long
    }

    pub(super) fn line(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn extend(&mut self, part: &[u8]) {
        if self.long {
            return;
        }
        if self.bytes.len() + part.len() <= MAX_FRAME + ROOM {
            self.bytes.extend_from_slice(part);
        } else {
            let lacking = ROOM.saturating_sub(self.bytes.len());
            self.bytes.extend(part.iter().take(lacking));
            self.bytes.truncate(ROOM);
            self.bytes.shrink_to_fit();
            self.long = true;
        }
    }

    pub(super) fn clear(&mut self) {
        self.long = false;
        empty(&mut self.bytes);
    }
}

/// Empties a buffer, and gives back what only an unusual event needed.
pub(super) fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(64 * 1024);
}

/// The byte order mark that a stream may begin with.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

//! The memory that whatever is held as a whole takes together: requests on their way, answers that are looked at.
//!
//! Each is bounded by itself, and so are connections; but as many of the largest as there may be connections are
//! more than the machine has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// How much all may take, beyond what each has for nothing.
pub(crate) const MOST: usize = 512 << 20;
/// What each has for nothing: so nearly all pass, whatever the others do.
const FREE: usize = 256 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory(AtomicUsize);

/// What one of them takes. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    size: usize,
    /// Of it, what counts.
    counted: usize,
}

impl Memory {
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            memory: Arc::clone(self),
            size: 0,
            counted: 0,
        }
    }
}

impl Share {
    /// Takes so many bytes more; whether there is room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.size += bytes;
        let more = self.size.saturating_sub(FREE) - self.counted;
        if more == 0 {
            return true;
        }
        let taken = &self.memory.0;
        if taken.fetch_add(more, Ordering::Relaxed) + more > MOST {
            taken.fetch_sub(more, Ordering::Relaxed);
            self.size -= bytes;
            return false;
        }
        self.counted += more;
        true
    }

    /// The bytes it was taken for: it is given back with the last of them.
    pub(crate) fn of(self, bytes: Bytes) -> Bytes {
        if self.counted == 0 {
            return bytes;
        }
        Bytes::from_owner(Shared {
            bytes,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

struct Shared {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_with_the_bytes() {
        let memory = Arc::new(Memory::default());
        let taken = |memory: &Arc<Memory>| memory.0.load(Ordering::Relaxed);
        let mut small = memory.share();
        assert!(small.grow(FREE));
        assert_eq!(taken(&memory), 0);
        let mut large = memory.share();
        assert!(large.grow(FREE / 2) && large.grow(FREE / 2) && large.grow(MOST));
        assert_eq!(taken(&memory), MOST);
        assert!(!small.grow(1), "nothing is left");
        assert_eq!(taken(&memory), MOST);
        let bytes = large.of(Bytes::from_static(b"large"));
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(taken(&memory), MOST, "a part of it is in use");
        drop(part);
        assert_eq!(taken(&memory), 0);
        assert!(small.grow(1));
        drop(small);
        assert_eq!(taken(&memory), 0);
    }
}

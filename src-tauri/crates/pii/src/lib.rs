//! Personal data and secrets in what models are asked: found, counted, replaced.
//!
//! # Theory of operation
//!
//! [`in_body`] walks a JSON body once ([`json`]) and looks through each of its strings as it reads, whatever its
//! escapes ([`text`]): three passes, each driven by what is rare in prose. Secrets begin with a known prefix
//! ([`secrets`]), an address has an `@` ([`email`]), everything else has a digit ([`numbers`]). [`redact`] puts a
//! label in the place of each find and leaves every other byte as it is.
//!
//! What can be checked is checked: a card by its issuer and its check digit, an IBAN by its country's length and its
//! remainder, a national number by its own arithmetic. What has no arithmetic is taken only in a shape that hardly
//! means anything else, or beside a word that says what it is. So an order number is rarely taken for a person.
//!
//! # Invariants
//!
//! - **Linear:** a find, or a failed try, looks at a bounded number of bytes, or at bytes that are not looked at again.
//! - **Bounded:** at most [`MOST_FINDS`] finds, at most [`DEEPEST`] levels, and [`Finds::more`] tells that there may be
//!   others.
//! - **Never a value:** a [`Find`] is a kind and a place.

mod body;
mod email;
mod json;
mod kind;
mod numbers;
mod secrets;
mod text;

pub use body::{in_body, redact};
pub use json::DEEPEST;
pub use kind::Kind;
pub use text::in_text;

use std::ops::Range;

/// The most finds that are told one by one.
pub const MOST_FINDS: usize = 16_384;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// What.
    pub kind: Kind,
    /// Where, in bytes of what was looked through; begins and ends between characters.
    pub at: Range<usize>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finds {
    /// In the order of their places; no two overlap.
    pub all: Vec<Find>,
    /// There may be others: there are more than [`MOST_FINDS`], or not everything was looked through.
    pub more: bool,
}

impl Finds {
    /// Whether nothing was found; with [`Self::more`] that says little.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How often each kind was found, in the kinds' order.
    pub fn counts(&self) -> Vec<(Kind, usize)> {
        let count = |kind| self.all.iter().filter(|find| find.kind == kind).count();
        Kind::ALL
            .into_iter()
            .map(|kind| (kind, count(kind)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Takes a find, unless there are too many already.
    fn take(&mut self, kind: Kind, at: Range<usize>) {
        if self.all.len() < MOST_FINDS {
            self.all.push(Find { kind, at });
        } else {
            self.more = true;
        }
    }
}

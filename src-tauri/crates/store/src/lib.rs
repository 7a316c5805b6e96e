//! SQLite: what the cockpit remembers. The only crate that knows SQL.
//!
//! # Theory of operation
//!
//! Four databases, so that setting a damaged one aside loses nothing of the others.
//!
//! - [`StateDb`] (`state.db`) holds what must not be lost: services stopped by hand, the gateway's keys
//!   (their hashes), and small values by key. Every write is on the disk (`synchronous=FULL`, on macOS with `F_FULLFSYNC`) when
//!   the call returns.
//! - [`Telemetry`] (`telemetry.db`) holds what was measured and what happened. Its one writer
//!   thread takes samples and events from a bounded queue and commits them in groups: events within
//!   100 ms, samples within 10 s, both at once when somebody reads. What does not fit the queue is dropped and
//!   counted; the caller never waits. Reads go over a connection of their own.
//! - [`Ledger`] (`ledger.db`) holds every request to a model and what else is accounted for. What is
//!   acknowledged is on the disk, so it has a writer of its own that waits for it; see [`ledger`].
//! - [`Prompts`] (`prompts.db`) holds what was asked and answered, only where a person wants that and only as long;
//!   see [`prompts`].
//!
//! **Samples** are kept in four [tiers]: every second for an hour, ten seconds for a day, a
//! minute for a month, an hour for two years. A sample goes into the open bucket of each tier
//! ([`bucket`]); open buckets are written with every commit, so that one interrupted by a restart is
//! continued. A row holds the bucket's means and the maxima of processor and memory, in whole
//! hundredths of a percent and KiB: about 45 bytes, and about 9 more for each service. Three
//! services fill 0.3 MB of seconds, 0.6 MB of tens, 3 MB of minutes and 1.5 MB of hours.
//!
//! **Retention** deletes whole chunks from the old end of a table whose key is time: pages are
//! freed, never rewritten, and used again. A clock that is wrong for a while is not believed so fast that
//! it would cost history (`pace`).
//!
//! **Trouble.** A file that is not a database or fails its check is renamed to
//! `NAME.damaged-TIME` with its journal and a new one is begun, at the start and while running. A
//! file of a newer version is refused. A full or read-only disk costs nothing but history: the writer
//! keeps what it can in memory, tries again, and says so in [`Stats`].

pub mod bucket;
mod database;
mod encode;
mod error;
mod events;
pub mod ledger;
mod pace;
pub mod prompts;
mod rows;
pub mod series;
mod state;
mod telemetry;
pub mod tiers;
mod writer;

pub use database::Opened;
pub use error::Error;
pub use ledger::{CallFilter, CallsQuery, Ledger, UsageQuery};
pub use prompts::Prompts;
pub use state::{KeyUse, StateDb, StoredKey};
pub use telemetry::{Options, Stats, Telemetry};

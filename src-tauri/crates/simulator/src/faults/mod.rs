//! What can go wrong, and how it is ordered.
//!
//! Two sorts of fault. Those of the **service** befall everything it is asked, its health too:
//! `hang, error, crash, slow, flap, leak`. Those of single **answers** befall requests to a model
//! only, and leave the service well: `status, stall, reset, length, utf8, endless, midstream,
//! malformed, drip, huge, empty, cut`; and `hang`, `error`, `slow` too, when they name a `model` or
//! come with the request. [`order`] says what each does and which details it takes.
//!
//! Three ways to order one:
//!
//! - **For everybody**, at run time: `POST /_fault {"kind":"status","status":429,"retry_after_s":2}`,
//!   with `for_ms` until when, `times` for how many answers, `model` for which. `GET /_fault` shows
//!   what is in force, `DELETE /_fault` takes all of it back. Those of the service also by flag.
//! - **For one request, by its model**: `"model": "gpt-4o!429,retry_after_s=2"`. What follows the `!`
//!   is the fault; the model that answers is `gpt-4o`.
//! - **For one request, by header**: `x-fault: reset,after=3`, in the same words.

mod board;
mod body;
mod layer;
mod order;

pub use board::{Effect, Faults, Schedule};
pub(crate) use layer::befall;
pub use order::{Kind, Order};

//! One axum Router for everything a person or program can ask; owns the trait the engine implements.
//!
//! # Theory of operation
//!
//! [`router`] builds the Router over a [`Cockpit`] and a [`Ui`]. It is served through two doors:
//! [`serve_unix`], where the socket file's permissions are the key, and [`serve_tcp`], where a
//! request needs the right `Host`, no foreign `Origin`, and the bearer token ([`Access`]).
//!
//! A door checks what it can from the head alone and marks the request with what it found; the
//! Router's gate then refuses what is private and not marked. A Router without a door therefore
//! answers nothing private: forgetting the door fails closed.
//!
//! A browser gets the token by a one-time code ([`SignIn`]), never by an address that holds it.
//!
//! Every refusal is `application/problem+json` with a stable code ([`cockpit_model::Code`]).
//! Everything is bounded: connections, head size and time, body size and time, points of a series,
//! lines of a log. Live streams are pulled by the reader, so a slow one holds up only itself; what it
//! missed the engine tells it as a gap.

mod access;
pub mod cockpit;
mod door;
mod extract;
mod gate;
mod handlers;
mod metrics;
mod openapi;
mod params;
mod refusal;
mod router;
mod sign_in;
mod stream;
#[cfg(test)]
mod tests;
mod ui;

pub use access::Access;
pub use cockpit::{
    CallsAsked, Chart, ChartFormat, ChartKind, Cockpit, Counted, Found, Live, LoginItem, Plan,
    UsageAsked, Written,
};
pub use door::{serve_tcp, serve_unix};
pub use openapi::document as openapi_document;
pub use params::parse_duration;
pub use router::router;
pub use sign_in::{SignIn, SignInCode};
pub use ui::Ui;

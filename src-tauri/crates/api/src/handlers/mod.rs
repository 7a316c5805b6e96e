//! One module a subject; each handler translates a request into one call of the cockpit.

pub(crate) mod charts;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod host;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod services;
pub(crate) mod sign_in;
pub(crate) mod traffic;

//! What differs between macOS and Linux, one module per concern, each thin.
//!
//! Theory of operation: every module has one small public surface that is the same everywhere, pure
//! parsers and file contents that are compiled and tested on both systems, and a few lines of `cfg`
//! that pick the command or the kernel interface. Nothing here keeps state beyond a guard the caller
//! holds or a value that is asked for once, and nothing changes this process's own environment.
//!
//! | module | question |
//! |---|---|
//! | [`paths`] | where the data and the sockets are |
//! | [`environment`] | the environment the person's login shell has |
//! | [`sleep`] | how long the machine has slept |
//! | [`awake`] | keeping it from sleeping |
//! | [`login`] | starting the engine at login |
//! | [`ports`] | who listens on a port |
//! | [`take_over`] | ending a foreign process in its owner's way |
//! | [`notify`] | a desktop notification |
//! | [`open`] | a URL in the browser |
//! | [`secrets`] | a secret from the keychain |
//! | [`command`] | what a tool answers, within a time limit |

pub mod awake;
pub mod command;
pub mod environment;
pub mod login;
pub mod notify;
pub mod open;
pub mod paths;
pub mod ports;
pub mod secrets;
pub mod sleep;
pub mod take_over;

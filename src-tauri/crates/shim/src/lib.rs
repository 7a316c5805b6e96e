//! The shim: the tiny process that owns one child, and what others need to talk to it.
//!
//! Theory of operation. An engine crashes and is upgraded; what it supervises must not go down with it. Pipes die
//! with their reader, exit codes are lost to anyone but the parent, and pids are reused. So one small process per
//! service instance is the child's parent. It holds the pipes, writes and rotates the log, keeps exits until an
//! engine has acknowledged them, and ends the whole tree when told. Engines come and go over a unix socket.
//!
//! - [`protocol`]: the frames between engine and shim. Pure.
//! - [`log`]: the log files: writer and reader.
//! - [`signal`]: signals by name.
//! - [`tree`]: identities of processes; finding and ending a tree whose shim is gone.
//! - [`process`]: the shim itself.

pub mod log;
pub mod process;
pub mod protocol;
pub mod signal;
pub mod tree;

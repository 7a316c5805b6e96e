//! One module a verb, or a family of them.

pub(super) mod act;
pub(super) mod app;
pub(super) mod check;
pub(super) mod init;
pub(super) mod key;
pub(super) mod login;
pub(super) mod logs;
pub(super) mod open;
pub(super) mod serve;
pub(super) mod services;
pub(super) mod status;
pub(super) mod uninstall;
pub(super) mod usage;

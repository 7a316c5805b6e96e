//! The engine and the command line.

pub mod cli;

//! The engine and the command line.

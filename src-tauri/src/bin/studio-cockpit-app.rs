//! The window and the menubar: a client of the engine.

fn main() {}

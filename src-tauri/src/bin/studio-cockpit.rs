//! Placeholder until wired.

fn main() {}

//! What differs between macOS and Linux, one trait per concern.

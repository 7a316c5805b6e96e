//! A small cockpit for the tests.

//! Studio Cockpit without its window: the command line and the engine.
//!
//! The window and the menubar are in the app's executable alone, so that nothing else links a
//! webview.

pub mod cli;
pub mod engine;

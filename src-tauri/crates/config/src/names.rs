//! Names of services, providers and keys.

use crate::secrets;

/// Judges the name of a service, a provider or a key. Names become folders, so they must never be paths.
///
/// # Errors
/// What is wrong with it: the end of a sentence that begins with the name.
pub fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.contains(['/', '\\']) || name.contains("..") || name == "." || name == "~" {
        return Err("looks like a path");
    }
    if name.len() > 64 {
        return Err("is longer than 64 characters");
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    {
        return Err("holds a character that is not allowed");
    }
    if secrets::is_secret(name) {
        return Err("looks like a secret");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("must begin with a letter or a digit");
    }
    Ok(())
}

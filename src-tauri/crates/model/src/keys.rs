//! Keys of the gateway, as people and programs see them. The key itself is answered once, when it is made.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::traffic::Limits;

/// A key of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyView {
    /// Its name, as requests are attributed.
    pub name: String,
    /// Where the key itself comes from.
    pub made: KeyMade,
    /// Whether it stands in the configuration; then its limits are those written there.
    pub in_config: bool,
    /// How it begins; of one that was made here.
    pub begins: Option<String>,
    /// When it was made; of one that was made here.
    pub created_at: Option<Timestamp>,
    /// When it was last used; null: not since that is remembered.
    pub last_used_at: Option<Timestamp>,
    /// What it may use.
    pub limits: Limits,
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyMade {
    /// From `key add`: only its hash is kept.
    Here,
    /// From where the configuration says.
    Elsewhere,
    /// From nowhere: the configuration names no place and none was made. Nobody can use it.
    Nowhere,
}

/// What is wanted of a new key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyWish {
    /// Its name.
    pub name: String,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// A key that was just made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct NewKey {
    /// The key itself: it is kept nowhere and cannot be shown again.
    pub secret: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub key: KeyView,
    /// What a person should still know; null when nothing.
    pub note: Option<String>,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("secret", &"(secret)")
            .field("key", &self.key)
            .field("note", &self.note)
            .finish()
    }
}

/// A key that was just removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedKey {
    /// Its name.
    pub removed: String,
    /// What a person should still know; null when nothing.
    pub note: Option<String>,
}

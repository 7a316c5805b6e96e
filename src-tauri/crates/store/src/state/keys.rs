//! Keys of the gateway: those that were made here, by their hashes, and how each key is used.

use jiff::Timestamp;
use rusqlite::params;

use super::{StateDb, from_ns, to_ns};
use crate::error::Error;

/// A key that was made here. The key itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name.
    pub name: String,
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// How it begins, so that people know it again.
    pub hint: String,
    /// What it may use, as a JSON text.
    pub limits: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// How a key is used, whether it was made here or stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The key's name.
    pub name: String,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// What is remembered of its past, as a JSON text.
    pub profile: String,
}

impl StateDb {
    /// The keys that were made here, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn keys(&self) -> Result<Vec<StoredKey>, Error> {
        let connection = self.lock();
        let keys = connection
            .prepare_cached("SELECT name, hash, hint, limits, created_ns FROM keys ORDER BY name")?
            .query_map([], |row| {
                Ok(StoredKey {
                    name: row.get(0)?,
                    hash: row.get(1)?,
                    hint: row.get(2)?,
                    limits: row.get(3)?,
                    created_at: from_ns(row.get(4)?),
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(keys)
    }

    /// Remembers a key; `false` if one of its name is there already, which is left as it is. On the disk when
    /// this returns `Ok`.
    ///
    /// # Errors
    /// When it cannot be written. What would hold in memory only ([`Error::NotDurable`]) is not remembered at
    /// all: whoever was given the key would find it worthless one day.
    pub fn add_key(&self, key: &StoredKey) -> Result<bool, Error> {
        self.durable()?;
        let added = self
            .lock()
            .prepare_cached("INSERT OR IGNORE INTO keys VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                key.name,
                key.hash,
                key.hint,
                key.limits,
                to_ns(key.created_at)
            ])?;
        Ok(added == 1)
    }

    /// Forgets a key that was made here, and how it was used; whether there was one. On the disk when this
    /// returns `Ok`.
    ///
    /// # Errors
    /// When it cannot be written; [`Error::NotDurable`] when it holds in memory only.
    pub fn remove_key(&self, name: &str) -> Result<bool, Error> {
        let removed = {
            let mut connection = self.lock();
            let transaction = connection.transaction()?;
            let removed = transaction.execute("DELETE FROM keys WHERE name = ?1", [name])?;
            transaction.execute("DELETE FROM key_uses WHERE name = ?1", [name])?;
            transaction.commit()?;
            removed
        };
        self.durable()?;
        Ok(removed == 1)
    }

    /// How each key is used, by name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn key_uses(&self) -> Result<Vec<KeyUse>, Error> {
        let connection = self.lock();
        let uses = connection
            .prepare_cached("SELECT name, used_ns, profile FROM key_uses ORDER BY name")?
            .query_map([], |row| {
                Ok(KeyUse {
                    name: row.get(0)?,
                    last_used_at: from_ns(row.get(1)?),
                    profile: row.get(2)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(uses)
    }

    /// Remembers how keys are used, all of these or none.
    ///
    /// # Errors
    /// When it cannot be written; [`Error::NotDurable`] when it holds in memory only.
    pub fn set_key_uses(&self, uses: &[KeyUse]) -> Result<(), Error> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for one in uses {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO key_uses VALUES (?1, ?2, ?3)")?
                .execute(params![one.name, to_ns(one.last_used_at), one.profile])?;
        }
        transaction.commit()?;
        drop(connection);
        self.durable()
    }
}

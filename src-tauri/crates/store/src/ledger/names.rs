//! Names by number, for the writer. What it remembers is bounded: a flood of different users costs
//! look-ups, not memory.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

/// Names remembered in each of two generations.
const GENERATION: usize = 8192;

/// A name and its number.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub id: u32,
    pub text: Arc<str>,
    /// The newest day it is known to be used in: names outlive the last row that has them.
    day: i64,
}

/// The numbers of names: the last few thousand used, the others in the table.
#[derive(Debug, Default)]
pub(crate) struct Names {
    young: HashMap<Arc<str>, Name>,
    old: HashMap<Arc<str>, Name>,
}

impl Names {
    /// The number of a name that is used in a row of `day`; makes one if it is new.
    pub(crate) fn number(
        &mut self,
        connection: &Connection,
        text: &str,
        day: i64,
    ) -> rusqlite::Result<&Name> {
        if self.young.get(text).is_none_or(|name| name.day < day) {
            let mut name = match self.young.remove(text).or_else(|| self.old.remove(text)) {
                Some(name) => name,
                None => find_or_make(connection, text, day)?,
            };
            if name.day < day {
                connection
                    .prepare_cached("UPDATE names SET day = ?2 WHERE id = ?1")?
                    .execute(params![name.id, day])?;
                name.day = day;
            }
            if self.young.len() >= GENERATION {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(Arc::clone(&name.text), name);
        }
        // It was there, or was put there.
        self.young
            .get(text)
            .ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// After a transaction that did not happen: what it made is not there.
    pub(crate) fn forget(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

fn find_or_make(connection: &Connection, text: &str, day: i64) -> rusqlite::Result<Name> {
    let found: Option<(u32, i64)> = connection
        .prepare_cached("SELECT id, day FROM names WHERE name = ?1")?
        .query_row([text], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (id, day) = match found {
        Some(found) => found,
        None => {
            let id = connection
                .prepare_cached("INSERT INTO names (name, day) VALUES (?1, ?2) RETURNING id")?
                .query_row(params![text, day], |row| row.get(0))?;
            (id, day)
        }
    };
    Ok(Name {
        id,
        text: text.into(),
        day,
    })
}

/// The names of numbers, for reading. Bounded likewise.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashMap<u32, Arc<str>>);

impl Texts {
    pub(crate) fn text(&mut self, connection: &Connection, id: u32) -> rusqlite::Result<Arc<str>> {
        if let Some(text) = self.0.get(&id) {
            return Ok(Arc::clone(text));
        }
        let text: Arc<str> = connection
            .prepare_cached("SELECT name FROM names WHERE id = ?1")?
            .query_row([id], |row| row.get::<_, String>(0))
            .optional()?
            .map_or_else(|| Arc::from("?"), Arc::from);
        if self.0.len() >= 2 * GENERATION {
            self.0.clear();
        }
        self.0.insert(id, Arc::clone(&text));
        Ok(text)
    }
}

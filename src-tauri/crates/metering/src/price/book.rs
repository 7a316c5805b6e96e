//! The table in force.

use std::sync::{Arc, PoisonError, RwLock};

use cockpit_model::Usd;

use super::PriceTable;

/// What everybody prices with. Cheap to clone; a new table is in force for all clones at once.
#[derive(Debug, Clone)]
pub struct PriceBook(Arc<RwLock<PriceTable>>);

impl Default for PriceBook {
    /// With the table this program was built with.
    fn default() -> Self {
        Self(Arc::new(RwLock::new(PriceTable::bundled().clone())))
    }
}

impl PriceBook {
    /// The table as it is now.
    pub fn table(&self) -> PriceTable {
        // A table is replaced as a whole.
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Puts a table in force.
    pub fn put(&self, table: PriceTable) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = table;
    }
}

/// What something cost, and who says so.
#[derive(Debug, Clone)]
pub struct Priced {
    /// The cost.
    pub cost: Usd,
    pub(super) by: By,
}

#[derive(Debug, Clone)]
pub(super) enum By {
    /// A person.
    Own,
    /// Nobody asks for money here.
    Local,
    /// A list.
    Table(PriceTable),
}

impl Priced {
    /// The version it is written down with: the table's, `own` or `local`.
    pub fn version(&self) -> &str {
        match &self.by {
            By::Own => "own",
            By::Local => "local",
            By::Table(table) => table.version(),
        }
    }
}

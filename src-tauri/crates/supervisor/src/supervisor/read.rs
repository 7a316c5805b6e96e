//! What services wrote, from our own files or from whoever runs them.

use std::sync::Arc;

use cockpit_model::Problem;
use cockpit_model::logs::{LogLine, LogQuery};
use cockpit_model::spec::Run;
use futures_util::stream::BoxStream;

use super::Supervisor;
use crate::cell::Cell;
use crate::launch::log_spec;
use crate::logs::{self, Source};
use crate::seams::Driver;

impl Supervisor {
    /// The last lines that match, oldest first, all instances merged by time.
    ///
    /// # Errors
    /// [`Code::UnknownService`], [`Code::Storage`], or what the driver says.
    pub async fn logs(&self, name: &str, query: LogQuery) -> Result<Vec<LogLine>, Problem> {
        let cell = self.cell(name)?;
        match self.foreign_log(&cell) {
            Some(driver) => driver.logs(query).await,
            None => logs::last(self.sources(&cell, &query), query).await,
        }
    }

    /// The same, and then every further line as it is written. Ended by dropping the stream.
    ///
    /// # Errors
    /// As [`Self::logs`].
    pub async fn follow(
        &self,
        name: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, Problem> {
        let cell = self.cell(name)?;
        match self.foreign_log(&cell) {
            Some(driver) => driver.follow(query).await,
            None => logs::follow(self.sources(&cell, &query), query).await,
        }
    }

    /// Who has the log of what we do not run ourselves.
    fn foreign_log(&self, cell: &Cell) -> Option<Arc<dyn Driver>> {
        let spec = cell.spec();
        let foreign =
            !matches!(spec.run, Run::Process(_)) || cell.slots().iter().any(|slot| slot.external);
        if foreign {
            // What stands in for it has the service's own address.
            (self.inner.shared.parts.drivers)(&spec)
        } else {
            None
        }
    }

    fn sources(&self, cell: &Cell, query: &LogQuery) -> Vec<Source> {
        let spec = cell.spec();
        (0..spec.replicas.max(1))
            .filter(|index| query.instance.is_none_or(|wanted| wanted == *index))
            .map(|instance| Source {
                instance,
                path: log_spec(&self.inner.shared.parts.log_dir, &spec, instance).path,
            })
            .collect()
    }
}

//! A roll: the instances of a service are restarted one after the other, each only when the one before is ready again.
//!
//! A restart by hand and a changed configuration both go this way. One that does not become ready stops the roll: the
//! others go on as they are, and the service's cause says so. A service has one roll at a time; a newer one, or
//! a stop, takes the place of the older.

use std::sync::Arc;

use cockpit_model::{Code, Problem};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::{Supervisor, ask};
use crate::cell::{Cell, lock};
use crate::instance::{Command, Handle, Reply};
use crate::shared::Shared;

/// An instance that waits for its turn.
struct Turn {
    handle: Handle,
    /// Whether its turn restarts it, or only waits until it is ready.
    restarts: bool,
}

impl Supervisor {
    /// Restarts every instance in its turn, as the command says. Goes on if the future is dropped.
    pub(super) async fn restart_in_turn(
        &self,
        cell: &Arc<Cell>,
        command: impl Fn(Reply) -> Command + Send + Sync + 'static,
    ) -> Result<(), Problem> {
        let handles = self.handles(&cell.name);
        if let [only] = handles.as_slice() {
            return ask(only, &command).await;
        }
        let turns = handles.into_iter().map(|handle| Turn {
            handle,
            restarts: true,
        });
        let (done, outcome) = oneshot::channel();
        let (shared, turning) = (Arc::clone(&self.inner.shared), Arc::clone(cell));
        self.begin_roll(cell, async move {
            let outcome = roll(&shared, &turning, turns.collect(), command).await;
            // Whoever asked may have given up.
            let _ = done.send(outcome);
        });
        outcome.await.unwrap_or_else(|_| {
            let problem = format!(
                "the restart of {} gave way to a later action or to new settings",
                cell.name
            );
            Err(Problem::new(Code::ActionFailed, problem))
        })
    }

    /// Has every instance take the cell's settings: those that need no restart at once, the others in their turn.
    /// Returns when all were asked.
    pub(super) async fn renew(&self, cell: &Arc<Cell>) {
        self.end_roll(cell);
        let mut asked = Vec::new();
        for handle in self.handles(&cell.name) {
            let (reply, outdated) = oneshot::channel();
            handle.ask(Command::Reconfigure { reply }).await;
            asked.push((handle, outdated));
        }
        let (shared, turning) = (Arc::clone(&self.inner.shared), Arc::clone(cell));
        self.begin_roll(cell, async move {
            let mut turns = Vec::new();
            for (handle, outdated) in asked {
                let restarts = outdated.await.unwrap_or(false);
                turns.push(Turn { handle, restarts });
            }
            if turns.iter().any(|turn| turn.restarts) {
                // Those that are new or were renewed first: nobody who serves is stopped before they are ready.
                turns.sort_by_key(|turn| turn.restarts);
                let _ = roll(&shared, &turning, turns, |reply| Command::Renew { reply }).await;
            }
        });
    }

    fn begin_roll(&self, cell: &Cell, roll: impl Future<Output = ()> + Send + 'static) {
        cell.set_stalled(None);
        let roll = AbortOnDropHandle::new(tokio::spawn(roll));
        lock(&self.inner.rolls).insert(cell.name.clone(), roll);
    }

    /// Whoever is restarting goes on; the next one is not.
    pub(super) fn end_roll(&self, cell: &Cell) {
        lock(&self.inner.rolls).remove(&cell.name);
        cell.set_stalled(None);
    }
}

async fn roll(
    shared: &Shared,
    cell: &Cell,
    turns: Vec<Turn>,
    command: impl Fn(Reply) -> Command + Sync,
) -> Result<(), Problem> {
    let mut turns = turns.into_iter();
    while let Some(turn) = turns.next() {
        let Err(problem) = ask(&turn.handle, &command).await else {
            continue;
        };
        let left: Vec<_> = turns
            .filter(|turn| turn.restarts)
            .map(|turn| turn.handle.index().to_string())
            .collect();
        let refused = matches!(problem.code, Code::NotOurs | Code::NotSupported);
        if left.is_empty() || refused {
            return Err(problem);
        }
        let stalled = format!(
            "the roll stopped at instance {}, which did not become ready; not restarted: {}",
            turn.handle.index(),
            left.join(", ")
        );
        shared.say("warning", format!("{}: {stalled}: {problem}", cell.name));
        cell.set_stalled(Some(stalled.clone()));
        shared.view_changed();
        let title = format!("{}; {stalled}", problem.title);
        return Err(Problem { title, ..problem });
    }
    Ok(())
}

//! How many files this process may have open: every instance takes a connection, its probes more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// To the hard limit, as far as the system grants it: at least to 8192. More than 65 536 is of no use to us, and slow
/// for programs that close every file there could be.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    for wish in [65_536, 10_240, 8192] {
        let wish = maximum.map_or(wish, |hard| hard.min(wish));
        if current.is_none_or(|soft| soft >= wish) {
            return;
        }
        let limit = Rlimit {
            current: Some(wish),
            maximum,
        };
        // macOS refuses what its kernel does not allow, whatever the hard limit says.
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => return,
            Err(e) => tracing::debug!("the limit of open files cannot be {wish}: {e}"),
        }
    }
    tracing::warn!("the limit of open files stays at {current:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_system_grants() {
        raise_limit();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let least = maximum.map_or(8192, |hard| hard.min(8192));
        assert!(current.is_none_or(|soft| soft >= least), "{current:?}");
    }
}

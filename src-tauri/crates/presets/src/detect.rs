//! What runs or is installed on this machine, and the `cockpit.toml` that would supervise it.
//!
//! A dry run only: nothing is written and nothing is started. Every look is bounded: the search of
//! the code folders by depth and two seconds, every tool that is asked by its own limit. Looks give
//! [`Candidate`]s; [`plan`] gives them names, settles who may have which address, and writes them
//! down so that the whole file is accepted as it is.

mod node;
mod plan;
mod programs;
mod search;

use cockpit_model::spec::Kind;

use crate::around::Surroundings;
pub use plan::plan_toml;

/// One thing found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The service it would become.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// How it was recognised, in words.
    pub evidence: String,
    /// Why a person must decide first; then its part of the configuration is commented out.
    pub doubt: Option<String>,
    /// Its part of the configuration; commented out where it needs a person's decision first.
    pub toml: String,
}

/// Something found, before it has its final name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// The name it would like.
    wish: String,
    kind: Kind,
    evidence: String,
    /// The port it listens on, if that is known.
    port: Option<u16>,
    /// The lines after `kind`, each `key = value` or a comment.
    lines: Vec<String>,
    /// Kinds it talks to.
    uses: Vec<Kind>,
    /// Why a person must decide first; then its part is commented out.
    doubt: Option<String>,
}

/// Looks for everything the cockpit has a preset for. At most a few seconds.
pub async fn detect(around: &Surroundings) -> Vec<Detected> {
    let env = around.env().await;
    let search = async {
        let found = search::search(around.home().cloned()).await;
        let (supabase, node) = tokio::join!(
            programs::supabase(around, found.supabase),
            node::all(around, found.packages),
        );
        (supabase, node)
    };
    let (ollama, postgres, cloudflared, tailscale, (supabase, node)) = tokio::join!(
        programs::ollama(around, &env),
        programs::postgres(around),
        programs::cloudflared(around, &env),
        programs::tailscale(&env),
        search,
    );
    let all = ollama
        .into_iter()
        .chain(supabase)
        .chain(postgres)
        .chain(node)
        .chain(cloudflared)
        .chain(tailscale)
        .collect();
    plan::settle(all)
}

/// A path as a person writes it: `~` for the home folder.
fn homely(path: &std::path::Path, around: &Surroundings) -> String {
    around
        .home()
        .and_then(|home| path.strip_prefix(home).ok())
        .map_or_else(
            || path.display().to_string(),
            |rest| format!("~/{}", rest.display()),
        )
}

#[cfg(test)]
#[path = "detect/tests.rs"]
mod tests;

//! The command line: thin clients of the engine's API over its unix socket, and the verbs that need
//! no running engine (`serve`, `demo`, `init`, `check`).
//!
//! Theory of operation: [`Args`] is what clap understood; [`run`] does it and answers the exit code.
//! A verb writes its answer to standard output and nothing else; progress and errors go to standard
//! error. With `--json` the answer is the API's own, and an error its problem document.
//!
//! Exit codes: 0 done, 1 it failed (with what to do), 2 wrong usage or configuration, 3 no cockpit
//! is running.

mod args;
pub mod client;
mod failure;
pub mod folder;
mod lacks;
mod log;
pub mod sign_in;
mod sse;
mod style;
mod verbs;

pub use args::Args;
use args::{KeyVerb, Switch, Verb};
use cockpit_model::{Code, Problem};
use failure::Done;

/// Does what was asked; the answer is the process's exit code.
pub async fn run(args: Args) -> u8 {
    // Every HTTP client of ours takes the process's TLS; an error says that it has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let json = args.wants_json();
    match perform(args).await {
        Ok(()) => 0,
        Err(failure) => failure.report(json),
    }
}

async fn perform(args: Args) -> Done {
    let Some(verb) = args.verb else {
        return verbs::app::launch(None);
    };
    match verb {
        Verb::Serve {
            common,
            stop_services,
            await_config,
        } => verbs::serve::serve(&common, stop_services, await_config).await,
        Verb::Demo { common, no_window } => verbs::serve::demo(&common, no_window).await,
        Verb::Init { reading, write } => verbs::init::init(&reading, write).await,
        Verb::Check { reading } => verbs::check::check(&reading).await,
        Verb::Status { reading } => verbs::status::status(&reading).await,
        Verb::Services { reading } => verbs::services::services(&reading).await,
        Verb::Usage {
            reading,
            window,
            by,
        } => verbs::usage::usage(&reading, &window, by).await,
        Verb::Key { what } => match what {
            KeyVerb::Add {
                reading,
                name,
                limits,
            } => verbs::key::add(&reading, &name, &limits).await,
            KeyVerb::List { reading } => verbs::key::list(&reading).await,
            KeyVerb::Remove { reading, name } => verbs::key::remove(&reading, &name).await,
        },
        Verb::Logs {
            reading,
            name,
            follow,
            grep,
            tail,
            instance,
        } => {
            let wanted = verbs::logs::Wanted {
                name,
                grep,
                tail,
                instance,
            };
            verbs::logs::logs(&reading, &wanted, follow).await
        }
        Verb::Start { reading, name } => verbs::act::start(&reading, &name).await,
        Verb::Stop { reading, name, all } => match name {
            Some(name) if !all => verbs::act::stop(&reading, &name).await,
            _ => verbs::act::stop_all(&reading).await,
        },
        Verb::Restart { reading, name } => verbs::act::restart(&reading, &name).await,
        Verb::Login { reading, switch } => {
            let on = switch.map(|switch| matches!(switch, Switch::On));
            verbs::login::login(&reading, on).await
        }
        Verb::Open { common, print_url } => verbs::open::open(&common, print_url).await,
        Verb::Simulate(double) => cockpit_simulator::run(double).await.map_err(|error| {
            Problem::new(Code::ActionFailed, "the simulator failed")
                .detail(format!("{error:#}"))
                .into()
        }),
        Verb::Uninstall {
            common,
            yes,
            keep_data,
            delete_data,
        } => {
            let data = match (keep_data, delete_data) {
                (true, _) => Some(verbs::uninstall::Data::Keep),
                (_, true) => Some(verbs::uninstall::Data::Delete),
                _ => None,
            };
            verbs::uninstall::uninstall(&common, yes, data).await
        }
    }
}

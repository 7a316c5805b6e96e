//! What a configuration that holds needs, and this machine lacks now: programs, variables, files. Pure but for what it
//! is told of the machine.
//!
//! None of it is a mistake of the file: a program may be installed, a variable exported before the engine starts. So it
//! is told as a warning, by `check` alone; the engine says at each service and provider what it runs into.

use std::collections::BTreeMap;
use std::path::Path;

use cockpit_config::Config;
use cockpit_model::ServiceSpec;
use cockpit_model::spec::{Kind, ProbeCheck, Run};
use cockpit_model::traffic::SecretPlace;

/// What is asked of the machine.
pub(super) trait Machine {
    /// Whether a program is found by this name and `PATH`.
    fn has_program(&self, name: &str, path: &str) -> bool;
    /// Why a file cannot be read; `None`: it can.
    fn unreadable(&self, path: &Path) -> Option<String>;
}

/// This one.
pub(super) struct Here;

impl Machine for Here {
    fn has_program(&self, name: &str, path: &str) -> bool {
        let env = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        cockpit_platform::environment::find_program(name, &env).is_some()
    }

    fn unreadable(&self, path: &Path) -> Option<String> {
        // A pipe would wait for its writer, and is readable all the same.
        match path.metadata() {
            Ok(meta) if meta.is_file() => std::fs::File::open(path).err(),
            Ok(_) => None,
            Err(error) => Some(error),
        }
        .map(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            _ => format!("cannot be read ({error})"),
        })
    }
}

/// Each as a sentence: what is missing, for what, and what to do.
pub(super) fn lacks(
    config: &Config,
    env: &BTreeMap<String, String>,
    machine: &impl Machine,
) -> Vec<String> {
    let programs = config
        .services
        .iter()
        .flat_map(|service| programs(service, env, machine));
    let traffic = config.traffic.as_ref();
    let secrets = traffic.into_iter().flat_map(|traffic| {
        let providers = traffic.providers.iter().filter_map(|one| {
            let what = format!("providers.{}.api_key", one.name);
            Some((what, one.api_key.as_ref()?))
        });
        let keys = traffic.keys.iter().filter_map(|one| {
            let what = format!("keys.{}.secret", one.name);
            Some((what, one.secret.as_ref()?))
        });
        providers.chain(keys)
    });
    let secrets = secrets.filter_map(|(what, place)| secret(&what, place, env, machine));
    programs.chain(secrets).collect()
}

/// The programs of a service that are not there.
fn programs(
    service: &ServiceSpec,
    env: &BTreeMap<String, String>,
    machine: &impl Machine,
) -> Vec<String> {
    let path = service.env.get("PATH").or_else(|| env.get("PATH"));
    let path = path.map_or("", String::as_str);
    let exec = |probe: &Option<cockpit_model::spec::ProbeSpec>| match probe.as_ref()?.check {
        ProbeCheck::Exec(ref words) => words.first().cloned(),
        _ => None,
    };
    let own = match &service.run {
        Run::Process(words) => words.first().cloned(),
        Run::Driver if service.kind == Kind::Supabase => Some("supabase".to_owned()),
        Run::Driver | Run::Watch => None,
    };
    let needed = [
        ("", own),
        (".ready", exec(&service.ready)),
        (".live", exec(&service.live)),
    ];
    let lacking = |(key, program): (&str, Option<String>)| {
        let program = program?;
        if program.contains("{port}") || machine.has_program(&program, path) {
            return None;
        }
        let place = format!("`services.{}{key}` runs `{program}`", service.name);
        Some(if program.contains('/') {
            format!(
                "{place}, which is not there or may not be executed; mend the path, or `chmod +x` it"
            )
        } else {
            format!(
                "{place}, which is not on the PATH here; install it, or write its whole path as `command`"
            )
        })
    };
    needed.into_iter().filter_map(lacking).collect()
}

fn secret(
    what: &str,
    place: &SecretPlace,
    env: &BTreeMap<String, String>,
    machine: &impl Machine,
) -> Option<String> {
    match place {
        SecretPlace::Env(name) => {
            let is_set = env.get(name).is_some_and(|value| !value.trim().is_empty());
            (!is_set).then(|| {
                format!(
                    "`{what}` comes from {place}, which is not set here; export it before the engine starts, or keep \
                     the secret in a {{ file = \"…\" }}"
                )
            })
        }
        SecretPlace::File(path) => machine.unreadable(path).map(|why| {
            format!("`{what}` comes from {place}, which {why}; write the secret there, readable by you alone")
        }),
        // To ask a keychain may ask the person.
        SecretPlace::Keychain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use cockpit_config::{Origin, Unchecked, parse};

    /// Has `node` on `/bin`, and one file.
    struct Small;

    impl Machine for Small {
        fn has_program(&self, name: &str, path: &str) -> bool {
            name == "/bin/node" || (name == "node" && path.split(':').any(|one| one == "/bin"))
        }

        fn unreadable(&self, path: &Path) -> Option<String> {
            (path != Path::new("/keys/openai")).then(|| "does not exist".to_owned())
        }
    }

    fn told(text: &str) -> Vec<String> {
        let origin = Origin {
            file: Path::new("/data/cockpit.toml"),
            home: Path::new("/home/ada"),
            files: &Unchecked,
        };
        let env = [("PATH", "/bin"), ("SET", "x"), ("EMPTY", " ")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        lacks(&parse(text, &origin).unwrap(), &env.into(), &Small)
    }

    #[test]
    fn what_is_there_is_not_told() {
        let all_there = r#"
            [services.api]
            command = ["node", "server.js"]
            ready = { exec = ["/bin/node", "ready.js"] }
            [services.watched]
            kind = "url"
            url = "http://127.0.0.1:9/"
            [providers.openai]
            kind = "openai"
            api_key = { file = "/keys/openai" }
            [keys.app]
            secret = { env = "SET" }
        "#;
        assert_eq!(told(all_there), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_missing_is_told_with_its_place_and_what_to_do() {
        let all = told(
            r#"
            [services.api]
            command = ["bun", "server.ts"]
            [services.tool]
            command = ["/opt/tool"]
            ready = { exec = ["pg_isready"] }
            [services.elsewhere]
            command = ["node", "x.js"]
            env = { PATH = "/usr/bin" }
            [services.supabase]
            kind = "supabase"
            project = "/code/app"
            [providers.openai]
            kind = "openai"
            api_key = { env = "OPENAI_API_KEY" }
            [providers.anthropic]
            kind = "anthropic"
            api_key = { file = "/keys/anthropic" }
            [keys.app]
            secret = { env = "EMPTY" }
            "#,
        );
        let begins = [
            "`services.api` runs `bun`, which is not on the PATH here; install it",
            "`services.tool` runs `/opt/tool`, which is not there or may not be executed",
            "`services.tool.ready` runs `pg_isready`, which is not on the PATH",
            "`services.elsewhere` runs `node`, which is not on the PATH",
            "`services.supabase` runs `supabase`, which is not on the PATH",
            "`providers.openai.api_key` comes from the environment variable OPENAI_API_KEY, which is not set here",
            "`providers.anthropic.api_key` comes from the file /keys/anthropic, which does not exist",
            "`keys.app.secret` comes from the environment variable EMPTY, which is not set here",
        ];
        assert_eq!(all.len(), begins.len(), "{all:#?}");
        for (told, begin) in all.iter().zip(begins) {
            assert!(told.starts_with(begin), "{told}");
        }
    }

    #[test]
    fn this_machine_is_looked_at() {
        assert!(Here.has_program("sh", "/bin:/usr/bin"));
        assert!(!Here.has_program("no-such-program-here", "/bin:/usr/bin"));
        let temp = tempfile::tempdir().unwrap();
        let why = Here.unreadable(&temp.path().join("key"));
        assert_eq!(why.as_deref(), Some("does not exist"));
        std::fs::write(temp.path().join("key"), "x").unwrap();
        assert_eq!(Here.unreadable(&temp.path().join("key")), None);
    }
}

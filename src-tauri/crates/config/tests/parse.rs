//! What a configuration means once it holds: completed, ordered, compared, planned.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cockpit_config::{Config, diff, load, plan, start_order};
use cockpit_model::ServiceSpec;
use cockpit_model::spec::{Kind, LimitAction, ProbeCheck, RestartPolicy, Run};

fn good(text: &str) -> Config {
    common::read(text).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn one(text: &str) -> ServiceSpec {
    good(text).services.remove(0)
}

fn words(run: &Run) -> Vec<&str> {
    match run {
        Run::Process(words) => words.iter().map(String::as_str).collect(),
        Run::Driver | Run::Watch => panic!("runs no process"),
    }
}

#[test]
fn a_plain_command_gets_the_documented_defaults() {
    let a = one("[services.a]\ncommand = [\"true\"]\n");
    assert_eq!(a.kind, Kind::Command);
    assert_eq!(a.cwd.as_deref(), Some(Path::new("/data")));
    assert_eq!(a.replicas, 1);
    assert_eq!((a.listen, a.ready, a.live), (None, None, None));
    assert_eq!(a.start_timeout, Duration::from_secs(300));
    assert_eq!(a.restart.policy, RestartPolicy::Always);
    assert_eq!(a.restart.initial_delay, Duration::ZERO);
    assert_eq!(a.restart.max_delay, Duration::from_secs(30));
    assert_eq!(a.restart.reset_after, Duration::from_secs(30));
    assert_eq!(a.restart.max_restarts, None);
    assert_eq!(a.stop.signal, "SIGTERM");
    assert_eq!(a.stop.grace, Duration::from_secs(10));
    assert_eq!(
        (a.limits.memory, a.limits.action),
        (None, LimitAction::Restart)
    );
    assert_eq!((a.logs.max_size, a.logs.keep), (50 << 20, 5));
    assert!(a.autostart);
    assert!(a.env.is_empty());
}

#[test]
fn the_contracts_example_says_what_it_says() {
    let config = good(include_str!("cases/contract.toml"));
    assert_eq!(config.cockpit.listen.to_string(), "127.0.0.1:4700");
    assert_eq!(config.traffic.as_ref().unwrap().listen.port(), 11435);
    assert_eq!(config.otlp.unwrap().port(), 4318);
    let said = plan(&config);
    assert!(
        said.contains("\nOpenTelemetry at http://127.0.0.1:4318\n"),
        "{said}"
    );
    let names: Vec<_> = config.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["ollama", "supabase", "api"]);
    let api = &config.services[2];
    assert_eq!(words(&api.run), ["node", "server.js"]);
    assert_eq!(
        api.cwd.as_deref(),
        Some(Path::new("/home/ada/code/app/api"))
    );
    assert_eq!(api.env_file.as_deref(), Some(Path::new("/data/.env")));
    assert_eq!(api.env["LOG_LEVEL"], "info");
    assert_eq!(api.replicas, 2);
    assert_eq!(api.listen_port(), Some(3000));
    let ready = api.ready.as_ref().unwrap();
    assert_eq!(
        ready.check,
        ProbeCheck::Http("http://127.0.0.1:{port}/health".to_owned())
    );
    assert_eq!(ready.every, Duration::from_secs(2));
    assert_eq!(ready.timeout, Duration::from_secs(1));
    assert_eq!((ready.failures, ready.successes), (3, 2));
    let live = api.live.as_ref().unwrap();
    assert_eq!(live.check, ProbeCheck::Tcp("127.0.0.1:{port}".to_owned()));
    assert_eq!((live.failures, live.successes), (3, 2));
    assert_eq!(api.limits.memory, Some(4 << 30));
    let supabase = &config.services[1];
    assert_eq!(supabase.run, Run::Driver);
    assert_eq!(
        supabase.options.project.as_deref(),
        Some(Path::new("/home/ada/code/app"))
    );
}

#[test]
fn presets_know_their_programs() {
    let config = good(include_str!("cases/presets.toml"));
    let by = |name: &str| config.services.iter().find(|s| s.name == name).unwrap();
    let ollama = by("ollama");
    assert_eq!(words(&ollama.run), ["ollama", "serve"]);
    assert_eq!(ollama.env["OLLAMA_HOST"], "127.0.0.1:{port}");
    assert_eq!(ollama.listen_port(), Some(11434));
    assert_eq!(
        ollama.ready.as_ref().unwrap().check,
        ProbeCheck::Http("http://127.0.0.1:{port}/api/version".to_owned())
    );
    assert_eq!(ollama.ready.as_ref().unwrap().every, Duration::from_secs(5));
    assert_eq!(ollama.live.as_ref().unwrap().failures, 3);
    assert_eq!(ollama.stop.grace, Duration::from_secs(20));
    assert!(!ollama.env.contains_key("PORT"));
    let db = by("db");
    assert_eq!(db.run, Run::Watch);
    assert_eq!(
        (db.stop.signal.as_str(), db.stop.grace.as_secs()),
        ("SIGINT", 60)
    );
    assert_eq!(
        db.ready.as_ref().unwrap().check,
        ProbeCheck::Postgres("postgres://127.0.0.1:{port}/postgres".to_owned())
    );
    assert_eq!(words(&by("web").run), ["node", "server.js"]);
    let tunnel = by("tunnel");
    assert_eq!(
        words(&tunnel.run),
        [
            "cloudflared",
            "tunnel",
            "--metrics",
            "127.0.0.1:{port}",
            "run"
        ]
    );
    assert_eq!(tunnel.listen_port(), Some(20241));
    assert_eq!(by("tail").run, Run::Driver);
    let site = by("site");
    assert_eq!(site.run, Run::Watch);
    assert_eq!(site.ready.as_ref().unwrap().every, Duration::from_secs(15));
    assert_eq!(
        by("supabase").options.project.as_deref(),
        Some(Path::new("/data"))
    );
}

#[test]
fn the_file_overrides_a_preset() {
    let ollama = one(
        "[services.o]\nkind = \"ollama\"\ncommand = \"/opt/ollama serve\"\nlisten = \"127.0.0.1:9\"\n\
         models = [\"llama3.2\"]\nready = { every = \"1s\" }\nlive = false\nstop = { grace = \"1s\" }\n",
    );
    assert_eq!(words(&ollama.run), ["/opt/ollama", "serve"]);
    assert_eq!(ollama.env["OLLAMA_HOST"], "127.0.0.1:{port}");
    assert_eq!(ollama.options.models, ["llama3.2"]);
    let ready = ollama.ready.unwrap();
    assert_eq!(ready.check.kind(), "http");
    assert_eq!(ready.every, Duration::from_secs(1));
    assert_eq!(ollama.live, None);
    assert_eq!(ollama.stop.signal, "SIGTERM");
    assert_eq!(ollama.stop.grace, Duration::from_secs(1));
}

#[test]
fn a_database_named_with_its_passwords_variable_is_probed_without() {
    let db = one(
        "[services.db]\nkind = \"postgres\"\nenv_file = \"db.env\"\n\
         database = \"postgres://app:$DB_PASSWORD@127.0.0.1:5432/app\"\n",
    );
    assert_eq!(
        db.options.database.as_deref(),
        Some("postgres://app:$DB_PASSWORD@127.0.0.1:5432/app")
    );
    assert_eq!(
        db.ready.unwrap().check,
        ProbeCheck::Postgres("postgres://app@127.0.0.1:5432/app".to_owned())
    );
}

#[test]
fn a_wildcard_address_is_probed_on_loopback() {
    let ollama = one("[services.o]\nkind = \"ollama\"\nlisten = \"0.0.0.0:11434\"\n");
    assert_eq!(ollama.env["OLLAMA_HOST"], "0.0.0.0:{port}");
    assert_eq!(
        ollama.ready.unwrap().check,
        ProbeCheck::Http("http://127.0.0.1:{port}/api/version".to_owned())
    );
}

#[test]
fn programs_named_by_a_path_start_in_the_services_folder() {
    let a = one("[services.a]\ncommand = [\"./bin/run\", \"./x\"]\ncwd = \"~/app\"\n");
    assert_eq!(words(&a.run), ["/home/ada/app/bin/run", "./x"]);
    let b = one("[services.b]\ncommand = [\"~/bin/run\"]\n");
    assert_eq!(words(&b.run), ["/home/ada/bin/run"]);
}

#[test]
fn services_start_after_what_they_depend_on() {
    let text = "[services.web]\ncommand = \"a\"\ndepends_on = [\"api\"]\n\
                [services.worker]\ncommand = \"a\"\n\
                [services.api]\ncommand = \"a\"\ndepends_on = [\"db\", \"worker\"]\n\
                [services.db]\ncommand = \"a\"\n";
    let config = good(text);
    let order: Vec<_> = start_order(&config.services)
        .into_iter()
        .map(|at| config.services[at].name.as_str())
        .collect();
    assert_eq!(order, ["worker", "db", "api", "web"]);
    // Total even where no configuration would be: a circle and a stranger.
    let mut circular = config.services;
    circular[3].depends_on = vec!["web".to_owned(), "stranger".to_owned()];
    assert_eq!(start_order(&circular).len(), 4);
}

#[test]
fn the_plan_shows_order_command_address_and_probe() {
    let config = good(
        "[services.web]\ncommand = [\"node\", \"a b.js\"]\ndepends_on = [\"ollama\"]\n\
         env = { HIDDEN = \"do not show\" }\nautostart = false\n\
         [services.ollama]\nkind = \"ollama\"\n",
    );
    assert_eq!(
        plan(&config),
        "Cockpit at http://127.0.0.1:4700\n\
         2 services, in start order\n\
         \n\
         1. ollama (ollama) at 127.0.0.1:11434\n\
         \x20  runs   ollama serve\n\
         \x20  ready  GET http://127.0.0.1:11434/api/version every 5s, 3 failures down, 2 successes up\n\
         \x20  live   GET http://127.0.0.1:11434/api/version every 5s, 3 failures down, 2 successes up\n\
         \n\
         2. web (command), started by hand\n\
         \x20  runs   node 'a b.js'\n\
         \x20  after  ollama\n\
         \x20  ready  once it runs\n"
    );
}

#[test]
fn only_meaning_makes_a_difference() {
    let old = good(
        "[services.a]\ncommand = [\"a\"]\n[services.b]\ncommand = [\"b\"]\n[services.c]\ncommand = [\"c\"]\n",
    );
    let same = good(
        "# a comment\n[services.c]\ncommand = \"c\"\nreplicas = 1\n[services.b]\ncommand = [\"b\"]\n\
         stop = { grace = \"10s\" }\n[services.a]\ncommand = [\"a\"]\n[cockpit]\n",
    );
    assert!(diff(&old, &same).is_empty());
    let new = good(
        "[cockpit]\nlisten = \"127.0.0.1:4701\"\n[services.b]\ncommand = [\"b\"]\nenv = { X = \"1\" }\n\
         stop = { grace = \"1s\" }\n[services.c]\ncommand = [\"c\"]\ndepends_on = [\"b\"]\n\
         [services.d]\ncommand = [\"d\"]\n",
    );
    let changes = diff(&old, &new);
    assert_eq!(changes.added, ["d"]);
    assert_eq!(changes.removed, ["a"]);
    assert_eq!(changes.cockpit, ["cockpit.listen"]);
    let changed: Vec<_> = changes
        .changed
        .iter()
        .map(|c| (c.name.as_str(), c.settings.clone(), c.restart))
        .collect();
    assert_eq!(
        changed,
        [
            ("b", vec!["env", "stop"], true),
            ("c", vec!["depends_on"], false)
        ]
    );
}

#[test]
fn the_disk_is_asked_for_folders_and_env_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("api")).unwrap();
    std::fs::write(at("api/.env"), "A=1\n# b\nC='d e'\n").unwrap();
    std::fs::write(at("broken.env"), "A=1\nhunter2 is no assignment\n").unwrap();
    let file = at("cockpit.toml");
    let home = folder.path();
    std::fs::write(
        &file,
        "[services.a]\ncommand = \"x\"\ncwd = \"api\"\nenv_file = \".env\"\n",
    )
    .unwrap();
    let config = load(&file, home).unwrap();
    assert_eq!(config.services[0].cwd.as_deref(), Some(at("api").as_path()));
    assert_eq!(
        config.services[0].env_file.as_deref(),
        Some(at("api/.env").as_path())
    );

    std::fs::write(
        &file,
        "[services.a]\ncommand = \"x\"\ncwd = \"api/.env\"\nenv_file = \"broken.env\"\n\
         [services.b]\ncommand = \"x\"\nenv_file = \"api\"\ncwd = \"nowhere\"\n",
    )
    .unwrap();
    let errors = load(&file, home).unwrap_err();
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].contains("cockpit.toml:3:7: ") && told[0].contains("is not a folder"));
    assert!(told[1].contains("is not a list of NAME=value in line 2"));
    assert!(told[2].contains("is not a file") && told[3].contains("does not exist"));
    assert!(!told.concat().contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        let errors = load(path, folder.path()).unwrap_err();
        assert_eq!(errors.len(), 1);
        errors[0].to_string()
    };
    let missing = folder.path().join("cockpit.toml");
    let message = told(&missing);
    assert!(message.starts_with(&format!("{}:1:1: ", missing.display())));
    assert!(message.contains("does not exist") && message.contains("init --write"));
    assert!(told(folder.path()).contains("is not a file"));
    std::fs::write(&missing, b"[services.a]\n# \xc3\xa9t\xe9\n").unwrap();
    let message = told(&missing);
    assert!(
        message.contains(":2:5: ") && message.contains("not UTF-8"),
        "{message}"
    );
    std::fs::write(&missing, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(told(&missing).contains("larger than 4MiB"));
}

#[test]
fn nothing_of_a_service_is_shown_by_debug() {
    let config = good("[services.a]\ncommand = \"x\"\nenv = { TOP = \"hidden value\" }\n");
    let shown = format!("{config:?}");
    assert!(shown.contains("\"a\"") && !shown.contains("hidden value"));
}

#[test]
fn the_gateways_settings_are_complete() {
    use cockpit_model::Usd;
    use cockpit_model::traffic::{PiiMode, ProviderKind, SecretPlace, Target};
    let config = good(include_str!("cases/traffic_good.toml"));
    let traffic = config.traffic.unwrap();
    assert_eq!(traffic.listen.to_string(), "127.0.0.1:11435");
    assert_eq!(traffic.rules.pii, PiiMode::Redact);

    let openai = traffic.provider("openai").unwrap();
    assert_eq!(openai.base_url, "https://api.openai.com/v1");
    let kept = SecretPlace::File(PathBuf::from("/home/ada/.openai"));
    assert_eq!(openai.api_key, Some(kept));
    let price = &openai.prices["gpt-4o"];
    assert_eq!(price.cached_input, Usd::from_dollars(1.25));
    assert_eq!((openai.queue, openai.service.as_deref()), (None, None));

    // The service is a provider of its own name, and waits in a queue.
    let llm = traffic.provider("llm").unwrap();
    assert_eq!(llm.kind, ProviderKind::Ollama);
    assert_eq!(llm.base_url, "http://127.0.0.1:11434");
    assert_eq!(llm.service.as_deref(), Some("llm"));
    assert!(llm.queue.is_some());

    let chat = &traffic.routes[0];
    let target = |provider: &str, model: &str| Target {
        provider: provider.to_owned(),
        model: model.to_owned(),
    };
    assert_eq!(
        chat.targets,
        [target("openai", "gpt-4o"), target("llm", "llama3.2")]
    );
    // A route says otherwise what it says, and keeps the rest.
    assert_eq!(chat.rules.pii, PiiMode::Block);
    assert_eq!(chat.rules.keep_prompts, traffic.rules.keep_prompts);
    assert_eq!(traffic.limits.user.requests_per_minute, Some(20));
}

#[test]
fn a_provider_that_is_written_out_knows_its_service() {
    let config = good(
        "[services.llm]\nkind = \"ollama\"\nlisten = \"127.0.0.1:9999\"\n\
         [providers.llm]\nkind = \"ollama\"\ntimeout = \"20s\"\n\
         [providers.same]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9999/v1/\"",
    );
    let traffic = config.traffic.unwrap();
    assert_eq!(traffic.providers.len(), 2, "not a third one of the service");
    let llm = traffic.provider("llm").unwrap();
    assert_eq!(llm.base_url, "http://127.0.0.1:9999");
    assert_eq!(llm.service.as_deref(), Some("llm"));
    assert_eq!(llm.first_byte_timeout.as_secs(), 20, "within the whole");
    let same = traffic.provider("same").unwrap();
    assert_eq!(same.service.as_deref(), Some("llm"), "by its address");
}

#[test]
fn an_ollama_behind_the_gateway_leaves_its_address_to_it() {
    let config = good(
        "[services.ollama]\nkind = \"ollama\"\nlisten = \"127.0.0.1:11434\"\nbehind_gateway = true\n\
         env = { OLLAMA_ORIGINS = \"https://notes.example, app://x\" }\n\
         [providers.chat]\nkind = \"openai\"\nbase_url = \"http://localhost:11434/v1\"\n",
    );
    let ollama = &config.services[0];
    assert!(ollama.has_own_ports());
    assert_eq!(ollama.env["OLLAMA_HOST"], "127.0.0.1:{port}");
    assert_eq!(ollama.listen.as_deref(), Some("127.0.0.1:11434"));
    let traffic = config.traffic.as_ref().unwrap();
    let front = &traffic.fronts[0];
    assert_eq!(front.listen.to_string(), "127.0.0.1:11434");
    assert_eq!(
        (front.service.as_str(), front.provider.as_str()),
        ("ollama", "ollama")
    );
    assert_eq!(front.origins, ["https://notes.example", "app://x"]);
    // Whoever names its address means it, and must not end up at the gateway again.
    for name in ["chat", "ollama"] {
        let provider = traffic.provider(name).unwrap();
        assert!(provider.behind_gateway, "{name}");
        assert_eq!(provider.service.as_deref(), Some("ollama"));
    }
    assert_eq!(
        traffic.provider("chat").unwrap().base_url,
        "http://localhost:11434/v1"
    );
    // Its clients were never told to hurry, nor how many of them may wait.
    let patient = traffic.provider("ollama").unwrap();
    assert_eq!(patient.timeout, Duration::from_secs(3600));
    assert_eq!(patient.queue.unwrap().waiting, 512);
    let hurried = good(
        "[services.ollama]\nkind = \"ollama\"\nbehind_gateway = true\n\
         [providers.ollama]\nkind = \"ollama\"\ntimeout = \"2m\"\nqueue = { waiting = 3 }\n",
    );
    let hurried = &hurried.traffic.unwrap().providers[0];
    assert_eq!(hurried.timeout, Duration::from_secs(120));
    assert!(hurried.idle_timeout <= hurried.timeout);
    assert_eq!(hurried.queue.unwrap().waiting, 3);
    let text = plan(&config);
    assert!(
        text.contains("http://127.0.0.1:11435, and at 127.0.0.1:11434 for ollama"),
        "{text}"
    );
    assert!(text.contains("where the gateway answers for it"), "{text}");
    assert!(
        text.contains("GET http://127.0.0.1:{port}/api/version"),
        "{text}"
    );

    // Into it and out of it, that one service restarts.
    let before =
        good("[gateway]\n[services.ollama]\nkind = \"ollama\"\n[services.a]\ncommand = \"a\"\n");
    let after = good(
        "[gateway]\n[services.ollama]\nkind = \"ollama\"\nbehind_gateway = true\n[services.a]\ncommand = \"a\"\n",
    );
    for (old, new) in [(&before, &after), (&after, &before)] {
        let changes = diff(old, new);
        assert_eq!(changes.changed.len(), 1, "{changes:?}");
        assert!(changes.changed[0].restart);
        assert!(changes.changed[0].settings.contains(&"behind_gateway"));
    }
    // Reachable from elsewhere, Ollama itself is not.
    let open = good(
        "[cockpit]\nallow_remote = true\n[services.ollama]\nkind = \"ollama\"\nlisten = \"0.0.0.0:11434\"\n\
         behind_gateway = true\n",
    );
    assert_eq!(open.services[0].env["OLLAMA_HOST"], "127.0.0.1:{port}");
}

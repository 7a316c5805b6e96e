//! `lsof`, `ps` and `launchctl`.
#![cfg_attr(
    not(target_os = "macos"),
    allow(dead_code, reason = "its parsers are tested everywhere")
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Identity, Keeper, Listener};
use crate::command::{Runner, System};

/// `lsof` walks every process.
const LIMIT: Duration = Duration::from_secs(10);
/// A listener may be a worker of a worker of the job.
const ANCESTORS: usize = 8;

/// Three tools are run to know a holder: too much for a question that is asked every few seconds.
const REMEMBERED: Duration = Duration::from_secs(10);

static LAST: Mutex<BTreeMap<u16, (Instant, Listener)>> = Mutex::new(BTreeMap::new());

/// As [`listener`], but what was found within the last ten seconds is not looked for again while
/// its process lives.
pub(super) async fn remembered(port: u16) -> Option<Listener> {
    let last = LAST
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&port)
        .filter(|(at, listener)| at.elapsed() < REMEMBERED && lives(listener));
    let (at, listener) = match last {
        Some(last) => last,
        None => (Instant::now(), listener(port).await?),
    };
    LAST.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(port, (at, listener.clone()));
    Some(listener)
}

fn lives(listener: &Listener) -> bool {
    let pid = listener
        .identity
        .as_ref()
        .and_then(|identity| i32::try_from(identity.pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

pub(super) async fn listener(port: u16) -> Option<Listener> {
    listener_with(&System, port).await
}

/// The start time as `ps` writes it.
pub(super) async fn started(pid: u32) -> Option<String> {
    started_with(&System, pid).await
}

async fn started_with(runner: &dyn Runner, pid: u32) -> Option<String> {
    let pid = pid.to_string();
    let done = runner
        .run("/bin/ps", &["-o", "lstart=", "-p", &pid], LIMIT)
        .await
        .ok()?;
    let text = done.stdout.trim();
    (done.ok && !text.is_empty()).then(|| text.to_owned())
}

async fn listener_with(runner: &dyn Runner, port: u16) -> Option<Listener> {
    let at = format!("-iTCP:{port}");
    let done = runner
        .run(
            "/usr/sbin/lsof",
            &["-nP", &at, "-sTCP:LISTEN", "-F", "pcn"],
            LIMIT,
        )
        .await
        .ok()?;
    let Some((pid, name)) = parse_lsof(&done.stdout) else {
        return taken(port).then(|| Listener {
            // Another user's: lsof shows it to root only.
            identity: None,
            name: String::new(),
            keeper: Keeper::Nobody,
        });
    };
    let table = runner
        .run("/bin/ps", &["-axo", "pid=,ppid=,comm="], LIMIT)
        .await
        .map(|done| parse_ps(&done.stdout))
        .unwrap_or_default();
    let jobs = runner
        .run("/bin/launchctl", &["list"], LIMIT)
        .await
        .map(|done| parse_launchctl(&done.stdout))
        .unwrap_or_default();
    let keeper = keeper(pid, &table, &jobs);
    Some(Listener {
        identity: started_with(runner, pid)
            .await
            .map(|started| Identity { pid, started }),
        name,
        keeper,
    })
}

/// Whether anybody listens there. Binding would not tell: beside a listener on all addresses,
/// macOS lets another one have the loopback's.
fn taken(port: u16) -> bool {
    [
        SocketAddr::from(([127, 0, 0, 1], port)),
        SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)),
    ]
    .iter()
    .any(|address| TcpStream::connect_timeout(address, Duration::from_millis(200)).is_ok())
}

/// The first process of `lsof -F pcn`: `p812`, `collama`, `f3`, `n127.0.0.1:11434`.
fn parse_lsof(text: &str) -> Option<(u32, String)> {
    let mut pid = None;
    for line in text.lines() {
        if let Some(number) = line.strip_prefix('p') {
            pid = number.parse().ok();
        } else if let (Some(pid), Some(name)) = (pid, line.strip_prefix('c')) {
            return Some((pid, name.to_owned()));
        }
    }
    pid.map(|pid| (pid, String::new()))
}

/// Parent and executable by pid.
fn parse_ps(text: &str) -> BTreeMap<u32, (u32, String)> {
    text.lines()
        .filter_map(|line| {
            let (pid, rest) = line.trim_start().split_once(char::is_whitespace)?;
            let (parent, executable) = rest.trim_start().split_once(char::is_whitespace)?;
            Some((
                pid.parse().ok()?,
                (parent.parse().ok()?, executable.trim().to_owned()),
            ))
        })
        .collect()
}

/// Label by pid: lines of `PID\tStatus\tLabel`, the pid `-` where it does not run.
fn parse_launchctl(text: &str) -> BTreeMap<u32, String> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let pid = fields.next()?.trim().parse().ok()?;
            Some((pid, fields.nth(1)?.trim().to_owned()))
        })
        .collect()
}

fn keeper(pid: u32, table: &BTreeMap<u32, (u32, String)>, jobs: &BTreeMap<u32, String>) -> Keeper {
    let mut pid = pid;
    for _ in 0..ANCESTORS {
        if let Some(formula) = jobs
            .get(&pid)
            .and_then(|l| l.strip_prefix("homebrew.mxcl."))
        {
            return Keeper::Homebrew(formula.to_owned());
        }
        let Some((parent, executable)) = table.get(&pid) else {
            break;
        };
        if let Some(app) = app_of(executable) {
            return match app {
                "Ollama" => Keeper::OllamaApp,
                "Docker" | "OrbStack" => Keeper::Container(None),
                // A shell in a terminal is nobody's job.
                "Terminal" | "iTerm" | "Studio Cockpit" => Keeper::Nobody,
                app => Keeper::App(app.to_owned()),
            };
        }
        // launchd lists running applications too, under a name made up for the run; ours is not a
        // way to end one of its services.
        if let Some(label) = jobs.get(&pid).filter(|label| {
            !label.starts_with("application.") && !label.starts_with("dev.studio-cockpit.")
        }) {
            return Keeper::Launchd(label.clone());
        }
        if *parent <= 1 {
            break;
        }
        pid = *parent;
    }
    Keeper::Nobody
}

/// `Ollama` of `/Applications/Ollama.app/Contents/Resources/ollama`: the outermost application.
fn app_of(executable: &str) -> Option<&str> {
    let (before, _) = executable.split_once(".app/")?;
    before.rsplit('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::command::double::Scripted;
    use cockpit_model::Owner;

    const PS: &str = "    1     0 /sbin/launchd
  700     1 /Applications/Ollama.app/Contents/MacOS/Ollama
  812   700 /Applications/Ollama.app/Contents/Resources/ollama
  900     1 /opt/homebrew/opt/postgresql@16/bin/postgres
  910     1 /usr/local/bin/thing
  911   910 /usr/local/bin/worker
  920     1 /Applications/Docker.app/Contents/MacOS/com.docker.backend
  930     1 /System/Applications/Utilities/Terminal.app/Contents/MacOS/Terminal
  931   930 -zsh
  932   931 node
";
    const LAUNCHCTL: &str = "PID\tStatus\tLabel
-\t0\tcom.apple.idle
700\t0\tapplication.com.electron.ollama.12.34
900\t0\thomebrew.mxcl.postgresql@16
910\t0\tcom.example.thing
930\t0\tapplication.com.apple.Terminal.1.2
";

    #[test]
    fn the_owner_is_the_first_ancestor_that_is_one() {
        let table = parse_ps(PS);
        let jobs = parse_launchctl(LAUNCHCTL);
        let of = |pid| keeper(pid, &table, &jobs);
        assert_eq!(of(812), Keeper::OllamaApp);
        assert_eq!(of(900), Keeper::Homebrew("postgresql@16".into()));
        assert_eq!(of(911), Keeper::Launchd("com.example.thing".into()));
        assert_eq!(of(920), Keeper::Container(None));
        assert_eq!(of(932), Keeper::Nobody);
        assert_eq!(of(4_000_000), Keeper::Nobody);
    }

    #[tokio::test]
    async fn from_the_tools_answers_to_a_holder() {
        let runner = Scripted::default()
            .answer(
                "/usr/sbin/lsof -nP -iTCP:11434 -sTCP:LISTEN -F pcn",
                true,
                "p812\ncollama\nf3\nn127.0.0.1:11434\n",
            )
            .answer("/bin/ps -axo pid=,ppid=,comm=", true, PS)
            .answer("/bin/launchctl list", true, LAUNCHCTL)
            .answer(
                "/bin/ps -o lstart= -p 812",
                true,
                "Tue Mar  3 09:14:07 2026    \n",
            );
        let found = listener_with(&runner, 11434).await.unwrap();
        let view = found.view();
        assert_eq!(view.owner, Owner::OllamaApp);
        assert_eq!(view.described, "Ollama.app");
        assert_eq!(found.identity.unwrap().started, "Tue Mar  3 09:14:07 2026");
    }

    #[test]
    fn a_ring_of_parents_ends() {
        let table = parse_ps("5 6 a\n6 5 b\n");
        assert_eq!(keeper(5, &table, &BTreeMap::new()), Keeper::Nobody);
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_survived(lsof: String, ps: String, launchctl: String, pid: u32) {
            parse_lsof(&lsof);
            keeper(pid, &parse_ps(&ps), &parse_launchctl(&launchctl));
        }
    }
}

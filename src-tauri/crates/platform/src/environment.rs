//! The environment the person's login shell has.
//!
//! A program started from the Dock or by launchd gets a bare `PATH`, in which neither `node` nor
//! `supabase` is found. So the login shell is asked once, interactively (Node managers live in
//! `.zshrc`), between two marker lines so that whatever rc files print is skipped. What it does not
//! know is filled up with the folders that such programs are usually in. The result is handed to the
//! children; **our own environment is never changed**.
//!
//! With a controlling terminal we were started from a shell and have its environment already. Then
//! it is not asked: an interactive shell in the background of a terminal stops itself (SIGTTIN).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tracing::debug;

/// What a shell may take; a hanging rc file must not hold the engine's start up.
const LIMIT: Duration = Duration::from_secs(2);
/// An environment is at most a few hundred kilobytes.
const LARGEST: u64 = 4 << 20;
const BEGIN: &[u8] = b"__studio_cockpit_env_begin__\n";
const END: &[u8] = b"__studio_cockpit_env_end__";
/// What the shell sets for itself and no child should inherit.
const OF_THE_SHELL: [&str; 5] = ["_", "SHLVL", "PWD", "OLDPWD", "PS1"];

static ASKED: OnceCell<Arc<BTreeMap<String, String>>> = OnceCell::const_new();

/// The environment for children: the login shell's, its gaps filled. Asked once, at most two
/// seconds, then remembered.
pub async fn login_environment() -> Arc<BTreeMap<String, String>> {
    ASKED
        .get_or_init(|| async {
            let own = own();
            let shell = if has_terminal() {
                None
            } else {
                ask(&shell_of(&own), LIMIT).await
            };
            let home = own.get("HOME").map(PathBuf::from);
            let folders = fallback_folders(home.as_deref());
            Arc::new(merge(&own, shell.as_ref(), &folders))
        })
        .await
        .clone()
}

/// The environment we have ourselves, with the folders where programs usually are: enough where a
/// terminal or a login manager has started us.
pub fn own_environment() -> Arc<BTreeMap<String, String>> {
    let own = own();
    let home = own.get("HOME").map(PathBuf::from);
    let folders = fallback_folders(home.as_deref());
    Arc::new(merge(&own, None, &folders))
}

/// Finds a program on an environment's `PATH`. A name with a slash is taken as it is.
pub fn find_program(name: &str, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let runs = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| runs(path));
    }
    std::env::split_paths(env.get("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| runs(path))
}

fn own() -> BTreeMap<String, String> {
    // A variable that is no UTF-8 cannot be shown or configured either.
    std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect()
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

fn shell_of(own: &BTreeMap<String, String>) -> PathBuf {
    let default = if cfg!(target_os = "macos") {
        "/bin/zsh"
    } else {
        "/bin/sh"
    };
    own.get("SHELL")
        .filter(|shell| shell.starts_with('/'))
        .map_or_else(|| PathBuf::from(default), PathBuf::from)
}

/// Asks a shell; `None` when it has no answer in time.
async fn ask(shell: &Path, limit: Duration) -> Option<BTreeMap<String, String>> {
    let begin = String::from_utf8_lossy(BEGIN).trim_end().to_owned();
    let end = String::from_utf8_lossy(END).into_owned();
    // `env -0` is there on both systems; the words are the same in sh, zsh, bash and fish.
    let script = format!("echo {begin}; /usr/bin/env -0; echo {end}");
    let mut command = Command::new(shell);
    // csh and its kin take `-l` only alone.
    let flags: &[&str] = match shell.file_name().and_then(OsStr::to_str) {
        Some("csh" | "tcsh") => &["-c"],
        Some("sh" | "dash") => &["-l", "-c"],
        _ => &["-l", "-i", "-c"],
    };
    let mut child = command
        .args(flags)
        .arg(script)
        // What plugins look at before they paint a prompt or ask whether to update.
        .env("TERM", "dumb")
        .env("DISABLE_AUTO_UPDATE", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .inspect_err(|e| debug!("{} cannot be asked: {e}", shell.display()))
        .ok()?;
    let group = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let mut stdout = child.stdout.take()?;
    let mut output = Vec::new();
    let read = async {
        let mut chunk = vec![0; 16 << 10];
        // Up to the closing marker: a daemon that the rc file left behind may hold the pipe open.
        loop {
            match stdout.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(n) => output.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
            if find(&output, END).is_some() || output.len() as u64 > LARGEST {
                break;
            }
        }
    };
    if tokio::time::timeout(limit, read).await.is_err() {
        debug!("{} gave no environment in time", shell.display());
    }
    // The shell and whatever it started in its group; it is ours until it is waited for.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait().await;
    parse(&output)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// What stands between the markers, as `NAME=value` ended by zeros. `None` without both markers.
fn parse(output: &[u8]) -> Option<BTreeMap<String, String>> {
    let after = output.get(find(output, BEGIN)? + BEGIN.len()..)?;
    let between = after.get(..find(after, END)?)?;
    let pairs: BTreeMap<String, String> = between
        .split(|b| *b == 0)
        .filter_map(|pair| {
            let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        })
        .collect();
    (!pairs.is_empty()).then_some(pairs)
}

/// The environment for children: what we have, overlaid by what the login shell has, and a `PATH`
/// of the shell's folders, then ours, then `fallback`, each once. Pure.
pub fn merge(
    own: &BTreeMap<String, String>,
    shell: Option<&BTreeMap<String, String>>,
    fallback: &[PathBuf],
) -> BTreeMap<String, String> {
    let mut all = own.clone();
    if let Some(shell) = shell {
        for (name, value) in shell {
            if !OF_THE_SHELL.contains(&name.as_str()) {
                all.insert(name.clone(), value.clone());
            }
        }
    }
    // Set for the asking only.
    for name in ["TERM", "DISABLE_AUTO_UPDATE"] {
        match own.get(name) {
            Some(value) => all.insert(name.to_owned(), value.clone()),
            None => all.remove(name),
        };
    }
    let path_of = |env: Option<&BTreeMap<String, String>>| {
        env.and_then(|env| env.get("PATH"))
            .map(|path| std::env::split_paths(path).collect::<Vec<_>>())
            .unwrap_or_default()
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in path_of(shell)
        .into_iter()
        .chain(path_of(Some(own)))
        .chain(fallback.iter().cloned())
    {
        if !folder.as_os_str().is_empty() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let joined = std::env::join_paths(&folders).ok();
    if let Some(path) = joined.and_then(|path| path.into_string().ok()) {
        all.insert("PATH".to_owned(), path);
    }
    all
}

/// Where Node, Homebrew and the like put programs, of those that are there.
fn fallback_folders(home: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = vec![
        PathBuf::from("/opt/homebrew/bin"),
        PathBuf::from("/usr/local/bin"),
    ];
    if let Some(home) = home {
        folders.extend(newest_node(&home.join(".nvm/versions/node")));
        folders.extend(
            [
                ".volta/bin",
                ".asdf/shims",
                ".local/share/mise/shims",
                ".bun/bin",
                ".cargo/bin",
                ".local/bin",
            ]
            .map(|folder| home.join(folder)),
        );
    }
    folders.extend(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.retain(|folder| folder.is_dir());
    folders
}

/// nvm keeps one folder per version: the newest, by number.
fn newest_node(versions: &Path) -> Option<PathBuf> {
    let number = |name: &str| -> Option<Vec<u32>> {
        name.strip_prefix('v')?
            .split('.')
            .map(|part| part.parse().ok())
            .collect()
    };
    std::fs::read_dir(versions)
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
        .max_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, path)| path.join("bin"))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn noise_around_the_markers_is_skipped() {
        let output =
            b"Welcome!\nFOO=no\n__studio_cockpit_env_begin__\nPATH=/a:/b\0MULTI=one\ntwo\0EMPTY=\0\
            __studio_cockpit_env_end__\nbye";
        assert_eq!(
            parse(output).unwrap(),
            env(&[("PATH", "/a:/b"), ("MULTI", "one\ntwo"), ("EMPTY", "")])
        );
        assert_eq!(parse(b"PATH=/a\0"), None);
        assert_eq!(parse(b"__studio_cockpit_env_begin__\nPATH=/a\0"), None);
    }

    #[test]
    fn the_shell_wins_and_path_is_the_sum() {
        let own = env(&[
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "C"),
            ("PWD", "/ours"),
            ("TERM", "xterm"),
        ]);
        let shell = env(&[
            ("PATH", "/opt/homebrew/bin:/usr/bin"),
            ("LANG", "de_DE.UTF-8"),
            ("PWD", "/theirs"),
            ("TERM", "dumb"),
            ("DISABLE_AUTO_UPDATE", "true"),
        ]);
        let merged = merge(
            &own,
            Some(&shell),
            &["/home/me/.bun/bin".into(), "/bin".into()],
        );
        assert_eq!(
            merged,
            env(&[
                ("PATH", "/opt/homebrew/bin:/usr/bin:/bin:/home/me/.bun/bin"),
                ("LANG", "de_DE.UTF-8"),
                ("PWD", "/ours"),
                ("TERM", "xterm"),
            ])
        );
    }

    #[test]
    fn without_a_shell_the_folders_are_still_added() {
        let merged = merge(&env(&[("PATH", "/usr/bin")]), None, &["/x".into()]);
        assert_eq!(merged["PATH"], "/usr/bin:/x");
        assert_eq!(merge(&env(&[]), None, &["/x".into()])["PATH"], "/x");
    }

    #[test]
    fn the_newest_node_is_newest_by_number() {
        let home = tempfile::tempdir().unwrap();
        let versions = home.path().join(".nvm/versions/node");
        for version in ["v9.11.2", "v22.3.0", "v22.12.1", "system"] {
            std::fs::create_dir_all(versions.join(version).join("bin")).unwrap();
        }
        assert_eq!(
            newest_node(&versions).unwrap(),
            versions.join("v22.12.1/bin")
        );
        let folders = fallback_folders(Some(home.path()));
        assert!(folders.contains(&versions.join("v22.12.1/bin")));
        assert!(!folders.iter().any(|f| f.ends_with(".volta/bin")));
    }

    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("shell");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_real_shell_answers_through_noisy_rc_files() {
        let folder = tempfile::tempdir().unwrap();
        let shell = script(
            folder.path(),
            "#!/bin/sh\necho noise\nexport FROM_RC=yes\nshift 3\neval \"$1\"\n",
        );
        // `-l -i -c script`: shifted by three, the script is first.
        let env = ask(&shell, Duration::from_secs(60)).await.unwrap();
        assert_eq!(env["FROM_RC"], "yes");
    }

    #[tokio::test]
    async fn a_shell_that_hangs_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let shell = script(
            folder.path(),
            &format!(
                "#!/bin/sh\nsleep 600 &\necho $! > {}\nwait\n",
                pid_file.display()
            ),
        );
        assert_eq!(ask(&shell, Duration::from_secs(1)).await, None);
        // On a machine so slow that it had not begun by then, there is nothing to be left.
        let Ok(text) = std::fs::read_to_string(&pid_file) else {
            return;
        };
        let pid = Pid::from_raw(text.trim().parse().unwrap()).unwrap();
        // Killed; whoever adopted it may need a moment to reap it.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            stat.map_or(true, |s| s.contains(") Z "))
        };
        while cfg!(target_os = "linux") && !gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_shell_that_is_not_there_is_no_answer() {
        assert_eq!(
            ask(Path::new("/no/such/shell"), Duration::from_secs(1)).await,
            None
        );
    }

    #[tokio::test]
    async fn the_environment_is_asked_once() {
        let first = login_environment().await;
        assert!(Arc::ptr_eq(&first, &login_environment().await));
        assert!(find_program("sh", &first).is_some());
        assert!(find_program("no-such-program-here", &first).is_none());
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_between_the_markers_comes_back(
            pairs in proptest::collection::btree_map("[A-Z_]{1,8}", "[^\0]{0,20}", 1..6),
            noise in "\\PC{0,40}",
        ) {
            let mut output = format!("{noise}\n").into_bytes();
            output.extend_from_slice(BEGIN);
            for (name, value) in &pairs {
                output.extend_from_slice(format!("{name}={value}\0").as_bytes());
            }
            output.extend_from_slice(END);
            proptest::prop_assert_eq!(parse(&output), Some(pairs));
        }

        #[test]
        fn any_output_is_survived(output: Vec<u8>) {
            proptest::prop_assert_eq!(parse(&output), None);
        }

        #[test]
        fn a_merged_path_names_every_folder_once(
            own in proptest::collection::vec("/[a-d]{1,2}", 0..5),
            shell in proptest::collection::vec("/[a-d]{1,2}", 0..5),
            more in proptest::collection::vec("/[a-d]{1,2}", 1..5),
        ) {
            let of = |folders: &[String]| env(&[("PATH", folders.join(":").as_str())]);
            let more: Vec<PathBuf> = more.iter().map(PathBuf::from).collect();
            let merged = merge(&of(&own), Some(&of(&shell)), &more);
            let folders: Vec<PathBuf> = std::env::split_paths(&merged["PATH"]).collect();
            for folder in own.iter().chain(&shell).map(PathBuf::from).chain(more) {
                proptest::prop_assert_eq!(folders.iter().filter(|f| **f == folder).count(), 1);
            }
        }
    }
}

//! The search of a person's code folders: three levels deep, two seconds at most.

use std::collections::{BTreeSet, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where code usually is, in a home folder.
const ROOTS: [&str; 6] = ["code", "dev", "projects", "src", "Developer", "Documents"];
const DEPTH: usize = 3;
const LIMIT: Duration = Duration::from_secs(2);
/// Folders that hold copies and products, not projects.
const SKIPPED: [&str; 7] = [
    "node_modules",
    "target",
    "dist",
    "build",
    "vendor",
    "venv",
    "Library",
];

/// What was found, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Folders that hold `supabase/config.toml`.
    pub(super) supabase: Vec<PathBuf>,
    /// Folders that hold `package.json`.
    pub(super) packages: Vec<PathBuf>,
}

/// Searches; after the limit, what was found so far is the answer, even if a folder on a network
/// still does not answer.
pub(super) async fn search(home: Option<PathBuf>) -> Found {
    let Some(home) = home else {
        return Found::default();
    };
    let shared = Arc::new(Mutex::new(Vec::new()));
    let task = tokio::task::spawn_blocking({
        let shared = Arc::clone(&shared);
        move || {
            let roots = ROOTS.map(|root| home.join(root));
            walk(&roots, Instant::now() + LIMIT, &shared);
        }
    });
    let _ = tokio::time::timeout(LIMIT, task).await;
    let mut hits = shared
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    hits.sort_by(|a, b| {
        b.changed
            .cmp(&a.changed)
            .then_with(|| a.folder.cmp(&b.folder))
    });
    let of = |supabase: bool| {
        hits.iter()
            .filter(|hit| hit.supabase == supabase)
            .map(|hit| hit.folder.clone())
            .collect()
    };
    Found {
        supabase: of(true),
        packages: of(false),
    }
}

#[derive(Debug, Clone)]
struct Hit {
    folder: PathBuf,
    supabase: bool,
    /// When its file was last written, in seconds.
    changed: i64,
}

fn walk(roots: &[PathBuf], until: Instant, hits: &Mutex<Vec<Hit>>) {
    // Breadth first: what lies higher is more likely meant, and is found before the time is up.
    let mut open: VecDeque<(PathBuf, usize)> = roots.iter().map(|r| (r.clone(), 0)).collect();
    let mut seen = BTreeSet::new();
    while let Some((folder, depth)) = open.pop_front() {
        if Instant::now() >= until {
            return;
        }
        // On a Mac `code` and `Code` are one folder.
        let Ok(meta) = folder.symlink_metadata() else {
            continue;
        };
        if !meta.is_dir() || !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        for (file, supabase) in [("supabase/config.toml", true), ("package.json", false)] {
            if let Ok(meta) = folder.join(file).metadata()
                && meta.is_file()
            {
                hits.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Hit {
                        folder: folder.clone(),
                        supabase,
                        changed: meta.mtime(),
                    });
            }
        }
        if depth < DEPTH {
            open.extend(below(&folder).map(|below| (below, depth + 1)));
        }
    }
}

/// The folders in a folder, without links, hidden ones and those that hold no projects.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !name.starts_with('.') && !SKIPPED.contains(&name.as_ref())
        })
        .map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    fn put(home: &Path, file: &str) {
        let path = home.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "{}").unwrap();
    }

    #[tokio::test]
    async fn three_levels_and_no_copies() {
        let home = tempfile::tempdir().unwrap();
        for file in [
            "code/app/supabase/config.toml",
            "code/app/api/package.json",
            "code/app/api/node_modules/express/package.json",
            "code/a/b/c/package.json",
            "code/a/b/c/d/package.json",
            "code/.hidden/package.json",
            "Downloads/x/package.json",
        ] {
            put(home.path(), file);
        }
        std::os::unix::fs::symlink(home.path().join("code"), home.path().join("dev")).unwrap();
        let found = search(Some(home.path().into())).await;
        assert_eq!(found.supabase, [home.path().join("code/app")]);
        let mut packages = found.packages;
        packages.sort();
        assert_eq!(
            packages,
            [
                home.path().join("code/a/b/c"),
                home.path().join("code/app/api")
            ]
        );
    }

    #[test]
    fn the_time_limit_holds() {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), "code/app/package.json");
        let hits = Mutex::new(Vec::new());
        walk(&[home.path().join("code")], Instant::now(), &hits);
        assert!(hits.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn no_home_no_search() {
        assert_eq!(search(None).await, Found::default());
    }
}

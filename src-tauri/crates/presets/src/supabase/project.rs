//! A Supabase project's folder and the few settings that tell where it answers.

use std::path::{Path, PathBuf};

use cockpit_model::{Code, Problem};
use serde::Deserialize;

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// The folder that holds `supabase/`.
    pub(crate) folder: PathBuf,
    /// What its containers are labelled with.
    pub(crate) id: String,
    pub(crate) api_port: u16,
    pub(crate) db_port: u16,
    pub(crate) api: bool,
    pub(crate) auth: bool,
}

#[derive(Deserialize)]
struct File {
    project_id: Option<String>,
    #[serde(default)]
    api: Section,
    #[serde(default)]
    db: Section,
    #[serde(default)]
    auth: Section,
}

#[derive(Deserialize, Default)]
struct Section {
    enabled: Option<bool>,
    port: Option<u16>,
}

impl Project {
    /// Reads `supabase/config.toml` of a folder.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`]: there is none, or it does not parse.
    pub(crate) fn load(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join("supabase/config.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Problem::new(
                Code::ConfigInvalid,
                format!("there is no Supabase project in {}", folder.display()),
            )
            .detail(format!("{}: {e}", path.display()))
            .remedy("set project to the folder that holds supabase/config.toml, or run `supabase init` there")
        })?;
        let file: File = toml::from_str(&text).map_err(|e| {
            Problem::new(
                Code::ConfigInvalid,
                format!("{} does not parse", path.display()),
            )
            .detail(e.message().to_owned())
        })?;
        let id = file
            .project_id
            .filter(|id| !id.is_empty())
            .or_else(|| Some(folder.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_default();
        Ok(Self {
            folder: folder.to_path_buf(),
            id,
            api_port: file.api.port.unwrap_or(54321),
            db_port: file.db.port.unwrap_or(54322),
            api: file.api.enabled.unwrap_or(true),
            auth: file.auth.enabled.unwrap_or(true),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    fn with(text: &str) -> (tempfile::TempDir, Result<Project, Problem>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("supabase")).unwrap();
        std::fs::write(folder.path().join("supabase/config.toml"), text).unwrap();
        let project = Project::load(folder.path());
        (folder, project)
    }

    #[test]
    fn its_settings() {
        let (_folder, project) = with(
            "project_id = \"shop\"\n[api]\nenabled = true\nport = 55321\nschemas = [\"public\"]\n\
             [db]\nport = 55322\nmajor_version = 17\n[auth]\nenabled = false\n",
        );
        let project = project.unwrap();
        assert_eq!(project.id, "shop");
        assert_eq!((project.api_port, project.db_port), (55321, 55322));
        assert!(project.api && !project.auth);
    }

    #[test]
    fn an_empty_one_has_the_defaults() {
        let (folder, project) = with("");
        let project = project.unwrap();
        assert_eq!((project.api_port, project.db_port), (54321, 54322));
        assert_eq!(
            project.id,
            folder.path().file_name().unwrap().to_str().unwrap()
        );
    }

    #[test]
    fn none_and_a_broken_one_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let problem = Project::load(folder.path()).unwrap_err();
        assert!(problem.title.starts_with("there is no Supabase project in"));
        assert!(problem.remedy.is_some());
        let (_folder, broken) = with("project_id = ");
        assert!(broken.unwrap_err().title.contains("does not parse"));
    }
}

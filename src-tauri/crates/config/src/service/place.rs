//! Where a service lives and what it leans on: folders, files, URLs, other services, probes.

use std::path::{Path, PathBuf};

use cockpit_model::spec::{Kind, PresetOptions, ProbeCheck, ProbeSpec};

use super::Reader;
use crate::fields::At;
use crate::kinds::Preset;
use crate::report::Finding;
use crate::{probe, secrets};

impl Reader<'_, '_, '_> {
    pub(super) fn cwd(&self) -> Option<PathBuf> {
        let text = self.fields.open_text("cwd", "~/code/app")?;
        let path = self.paths.resolve(&text.value);
        if let Err(why) = self.paths.files.folder(&path) {
            self.error(
                &text.span,
                Finding::new(format!(
                    "the folder of `{}` {why}: {}",
                    self.fields.path_of("cwd"),
                    path.display()
                ))
                .suggest("name an existing folder; relative ones start beside this file"),
            );
        }
        Some(path)
    }

    pub(super) fn env_file(&self, cwd: Option<&Path>) -> Option<PathBuf> {
        let text = self.fields.open_text("env_file", ".env")?;
        let beside = self.paths.resolve(&text.value);
        // A file beside cockpit.toml wins; else the one in the service's own folder.
        let path = match cwd {
            Some(cwd) if !self.paths.files.exists(&beside) => {
                let inside = self.paths.resolve_in(cwd, &text.value);
                if self.paths.files.exists(&inside) {
                    inside
                } else {
                    beside
                }
            }
            _ => beside,
        };
        if let Err(why) = self.paths.files.dotenv(&path) {
            self.error(
                &text.span,
                Finding::new(format!(
                    "the file of `{}` {why}: {}",
                    self.fields.path_of("env_file"),
                    path.display()
                ))
                .suggest("name a readable file of NAME=value lines; it is looked for beside this file, then in `cwd`"),
            );
        }
        Some(path)
    }

    pub(super) fn options(&self, kind: Kind) -> PresetOptions {
        let fields = &self.fields;
        let mut options = PresetOptions::default();
        if kind == Kind::Supabase {
            options.project = Some(self.project());
        }
        if let Some(models) = fields.texts("models", "[\"llama3.2\"]") {
            for model in models.value {
                if model.value.trim().is_empty() {
                    self.error(
                        &model.span,
                        Finding::new(format!(
                            "`{}` holds an empty name",
                            fields.path_of("models")
                        ))
                        .suggest("for example models = [\"llama3.2\"]"),
                    );
                } else {
                    options.models.push(model.value);
                }
            }
        }
        options.behind_gateway =
            kind == Kind::Ollama && fields.boolean("behind_gateway") == Some(true);
        options.url = self.url("url", &["http", "https"], "https://example.com/health");
        if kind == Kind::Url && fields.get("url").is_none() {
            self.error(
                &fields.at,
                Finding::new(format!("`{}` has no url to watch", fields.path))
                    .suggest("add url = \"https://example.com/health\""),
            );
        }
        options.database = self.url(
            "database",
            &["postgres", "postgresql"],
            "postgres://127.0.0.1:5432/postgres",
        );
        options
    }

    pub(super) fn url(&self, key: &str, schemes: &[&str], example: &str) -> Option<String> {
        let text = self.fields.open_text(key, example)?;
        match probe::check_url(&text.value, schemes) {
            Ok(()) => Some(text.value),
            Err(why) => {
                self.error(
                    &text.span,
                    Finding::new(format!("`{}` {why}", self.fields.path_of(key)))
                        .suggest(format!("for example {key} = \"{example}\"")),
                );
                None
            }
        }
    }

    pub(super) fn project(&self) -> PathBuf {
        let Some(text) = self.fields.open_text("project", "~/code/app") else {
            return self.paths.folder.clone();
        };
        let path = self.paths.resolve(&text.value);
        if let Err(why) = self.paths.files.folder(&path) {
            self.error(
                &text.span,
                Finding::new(format!(
                    "the folder of `{}` {why}: {}",
                    self.fields.path_of("project"),
                    path.display()
                ))
                .suggest("name the folder that holds supabase/config.toml"),
            );
        }
        path
    }

    pub(super) fn depends_on(&self) -> Vec<At<String>> {
        let Some(list) = self.fields.texts("depends_on", "[\"database\"]") else {
            return Vec::new();
        };
        let mut unique: Vec<At<String>> = Vec::new();
        for name in list.value {
            if unique.iter().any(|other| other.value == name.value) {
                self.fields.report.warn(
                    &name.span,
                    Finding::new(format!(
                        "`{}` names it twice",
                        self.fields.path_of("depends_on")
                    )),
                );
            } else {
                unique.push(name);
            }
        }
        unique
    }

    pub(super) fn probes(
        &self,
        kind: Kind,
        preset: &Preset,
        options: &PresetOptions,
    ) -> (Option<At<ProbeSpec>>, Option<At<ProbeSpec>>) {
        if kind == Kind::Task {
            return (None, None);
        }
        let usual = match (kind, &options.url, &options.database) {
            (Kind::Url, Some(url), _) => Some(ProbeCheck::Http(url.clone())),
            (Kind::Postgres, _, Some(url)) => {
                Some(ProbeCheck::Postgres(secrets::without_password(url)))
            }
            _ => preset.ready.clone(),
        };
        let fields = &self.fields;
        (
            probe::read(fields, "ready", usual, preset, self.paths),
            probe::read(fields, "live", preset.live.clone(), preset, self.paths),
        )
    }
}

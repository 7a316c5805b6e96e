//! Reads one table's keys by the type that is wanted, and reports what does not fit.
//!
//! Every reader returns `None` both for a key that is absent and for one that is wrong: the
//! mistake is in the report, and the caller goes on with the default to find the next one.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::report::{Finding, Report};
use crate::{secrets, suggest, units};

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// A table being read.
pub(crate) struct Fields<'r, 'd> {
    pub(crate) report: &'r Report<'r>,
    table: &'r DeTable<'d>,
    /// Where the table's own name stands.
    pub(crate) at: Range<usize>,
    /// `services.api`, for messages; empty at the top.
    pub(crate) path: String,
}

impl<'r, 'd> Fields<'r, 'd> {
    /// A table whose keys are names given by the person.
    pub(crate) fn named(
        report: &'r Report<'r>,
        table: &'r DeTable<'d>,
        at: Range<usize>,
        path: String,
    ) -> Self {
        Self {
            report,
            table,
            at,
            path,
        }
    }

    /// A table of which every key is known; the others are reported.
    pub(crate) fn known(
        report: &'r Report<'r>,
        table: &'r DeTable<'d>,
        at: Range<usize>,
        path: String,
        known: &[&str],
    ) -> Self {
        let fields = Self::named(report, table, at, path);
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let place = if fields.path.is_empty() {
                "section".to_owned()
            } else {
                format!("key in `{}`", fields.path)
            };
            report.error(
                &key.span(),
                Finding::new(format!("unknown {place}"))
                    .text(short_name(name))
                    .suggest_if(suggest::did_you_mean(name, known, "known here")),
            );
        }
        fields
    }

    /// `services.api.cwd`.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'r Spanned<DeValue<'d>>> {
        self.table.get(key)
    }

    /// Where a key's own name stands; the table's, where the key is absent.
    pub(crate) fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .get_key_value(key)
            .map_or_else(|| self.at.clone(), |(key, _)| key.span())
    }

    /// The entries in the order of the file.
    pub(crate) fn entries(&self) -> Vec<(At<&'r str>, &'r Spanned<DeValue<'d>>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let name: &str = key.get_ref();
                let at = At {
                    value: name,
                    span: key.span(),
                };
                (at, value)
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    /// Reports a key whose value is not what is wanted.
    pub(crate) fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, want: &str, example: &str) {
        let finding = Finding::new(format!(
            "`{}` must be {want}, not {}",
            self.path_of(key),
            type_name(value.get_ref())
        ))
        .suggest(format!("for example {example}"));
        let finding = if secrets::is_secret_name(key) {
            finding.text(format!("{key} = …"))
        } else {
            finding
        };
        self.report.error(&value.span(), finding);
    }

    pub(crate) fn text(&self, key: &str, example: &str) -> Option<At<String>> {
        let value = self.get(key)?;
        let DeValue::String(text) = value.get_ref() else {
            self.wrong(key, value, "a text", &format!("{key} = \"{example}\""));
            return None;
        };
        if text.contains('\0') {
            self.report.error(
                &value.span(),
                Finding::new(format!("`{}` holds a NUL character", self.path_of(key)))
                    .text(format!("{key} = …"))
                    .suggest("remove it"),
            );
            return None;
        }
        Some(At {
            value: text.to_string(),
            span: value.span(),
        })
    }

    /// A text that is not empty and carries no secret.
    pub(crate) fn open_text(&self, key: &str, example: &str) -> Option<At<String>> {
        let text = self.text(key, example)?;
        if text.value.trim().is_empty() {
            self.report.error(
                &text.span,
                Finding::new(format!("`{}` is empty", self.path_of(key)))
                    .suggest(format!("for example {key} = \"{example}\"")),
            );
            return None;
        }
        self.open(key, &text.value, &text.span).then_some(text)
    }

    /// Reports a secret in a value; whether there is none.
    pub(crate) fn open(&self, key: &str, value: &str, span: &Range<usize>) -> bool {
        if !secrets::is_secret(value) {
            return true;
        }
        let what = if secrets::has_url_password(value) {
            "a password"
        } else {
            "a secret"
        };
        self.refuse(key, what, span);
        false
    }

    /// Reports that a value is a secret, without quoting it.
    pub(crate) fn refuse(&self, key: &str, what: &str, span: &Range<usize>) {
        let suggestion = if self.path.starts_with("services.") {
            "put it into a file named by `env_file`, readable only by you"
        } else {
            "say where it is kept: { env = \"NAME\" }, { keychain = \"…\" } or { file = \"…\" }"
        };
        self.report.error(
            span,
            Finding::new(format!(
                "`{}` holds {what}, which must not stand in this file",
                self.path_of(key)
            ))
            .text(format!("{key} = …"))
            .suggest(suggestion),
        );
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        let DeValue::Boolean(on) = value.get_ref() else {
            self.wrong(key, value, "true or false", &format!("{key} = true"));
            return None;
        };
        Some(*on)
    }

    pub(crate) fn whole(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        example: u64,
    ) -> Option<At<u64>> {
        let value = self.get(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong(key, value, "a whole number", &format!("{key} = {example}"));
            return None;
        };
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let Some(number) = number.filter(|number| range.contains(number)) else {
            self.report.error(
                &value.span(),
                Finding::new(format!(
                    "`{}` must be from {} to {}",
                    self.path_of(key),
                    range.start(),
                    range.end()
                ))
                .suggest(format!("for example {key} = {example}")),
            );
            return None;
        };
        Some(At {
            value: number,
            span: value.span(),
        })
    }

    /// A number of at least zero: money.
    pub(crate) fn amount(&self, key: &str, example: &str) -> Option<f64> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(digits) if digits.radix() == 10 => digits.as_str().parse::<f64>().ok(),
            DeValue::Float(digits) => digits.as_str().parse::<f64>().ok(),
            _ => {
                self.wrong(key, value, "a number", &format!("{key} = {example}"));
                return None;
            }
        };
        let number = number.filter(|n| n.is_finite() && *n >= 0.0);
        if number.is_none() {
            self.report.error(
                &value.span(),
                Finding::new(format!("`{}` must be zero or more", self.path_of(key)))
                    .suggest(format!("for example {key} = {example}")),
            );
        }
        number
    }

    pub(crate) fn duration(&self, key: &str, example: &str) -> Option<At<Duration>> {
        let value = self.get(key)?;
        let hint = format!("a number with ms, s, m, h or d: {key} = \"{example}\"");
        let DeValue::String(text) = value.get_ref() else {
            let hint = match value.get_ref() {
                DeValue::Integer(n) if n.radix() == 10 && n.as_str().len() < 12 => {
                    format!("write the unit: {key} = \"{}s\"", n.as_str())
                }
                _ => hint,
            };
            self.report.error(
                &value.span(),
                Finding::new(format!(
                    "`{}` must be a duration, not {}",
                    self.path_of(key),
                    type_name(value.get_ref())
                ))
                .suggest(hint),
            );
            return None;
        };
        match units::parse_duration(text) {
            Ok(duration) => Some(At {
                value: duration,
                span: value.span(),
            }),
            Err(why) => {
                self.report.error(
                    &value.span(),
                    Finding::new(format!("the duration `{}` {why}", self.path_of(key)))
                        .suggest(hint),
                );
                None
            }
        }
    }

    /// A duration that is not zero.
    pub(crate) fn span_of_time(&self, key: &str, example: &str) -> Option<Duration> {
        let duration = self.duration(key, example)?;
        if duration.value.is_zero() {
            self.report.error(
                &duration.span,
                Finding::new(format!("`{}` must be longer than 0", self.path_of(key)))
                    .suggest(format!("for example {key} = \"{example}\"")),
            );
            return None;
        }
        Some(duration.value)
    }

    pub(crate) fn size(&self, key: &str, least: u64, example: &str) -> Option<u64> {
        let value = self.get(key)?;
        let hint = format!("a number with KiB, MiB, GiB, KB, MB or GB: {key} = \"{example}\"");
        let DeValue::String(text) = value.get_ref() else {
            self.report.error(
                &value.span(),
                Finding::new(format!(
                    "`{}` must be a size, not {}",
                    self.path_of(key),
                    type_name(value.get_ref())
                ))
                .suggest(hint),
            );
            return None;
        };
        match units::parse_size(text) {
            Ok(bytes) if bytes >= least => Some(bytes),
            Ok(_) => {
                self.report.error(
                    &value.span(),
                    Finding::new(format!(
                        "`{}` must be at least {}",
                        self.path_of(key),
                        units::format_size(least)
                    ))
                    .suggest(format!("for example {key} = \"{example}\"")),
                );
                None
            }
            Err(why) => {
                self.report.error(
                    &value.span(),
                    Finding::new(format!("the size `{}` {why}", self.path_of(key))).suggest(hint),
                );
                None
            }
        }
    }

    /// An array of texts, each with its place. A single wrong element drops only itself.
    pub(crate) fn texts(&self, key: &str, example: &str) -> Option<At<Vec<At<String>>>> {
        let value = self.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(key, value, "a list of texts", &format!("{key} = {example}"));
            return None;
        };
        let mut texts = Vec::with_capacity(array.len());
        for element in array.iter() {
            let DeValue::String(text) = element.get_ref() else {
                self.wrong(
                    key,
                    element,
                    "a list of texts",
                    &format!("{key} = {example}"),
                );
                continue;
            };
            if text.contains('\0') {
                self.report.error(
                    &element.span(),
                    Finding::new(format!("`{}` holds a NUL character", self.path_of(key)))
                        .text(format!("{key} = …"))
                        .suggest("remove it"),
                );
                continue;
            }
            if self.open(key, text, &element.span()) {
                texts.push(At {
                    value: text.to_string(),
                    span: element.span(),
                });
            }
        }
        Some(At {
            value: texts,
            span: value.span(),
        })
    }

    /// A table with known keys.
    pub(crate) fn section(
        &self,
        key: &str,
        known: &[&str],
        example: &str,
    ) -> Option<Fields<'r, 'd>> {
        let value = self.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(key, value, "a table", example);
            return None;
        };
        Some(Fields::known(
            self.report,
            table,
            self.key_span(key),
            self.path_of(key),
            known,
        ))
    }

    /// A table whose keys are names the person gives: `[services.NAME]`.
    pub(crate) fn names(&self, key: &str, example: &str) -> Option<Fields<'r, 'd>> {
        let value = self.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(key, value, "a table", example);
            return None;
        };
        Some(Fields::named(
            self.report,
            table,
            self.key_span(key),
            self.path_of(key),
        ))
    }

    /// The one of `choices` the text names.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let example = choices.first().map_or("", |(name, _)| *name);
        let text = self.text(key, example)?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.report.error(
                &text.span,
                Finding::new(format!("`{}` has no such choice", self.path_of(key)))
                    .suggest_if(suggest::did_you_mean(&text.value, &names, "choose one of")),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// The same; one that was told as a slip counts as what it was probably meant to be, so that nothing else is told
    /// of it.
    pub(crate) fn choice_meant<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Choice<T> {
        if let Some(value) = self.choice(key, choices) {
            return Choice::Made(value);
        }
        let written = self.get(key).and_then(|value| value.get_ref().as_str());
        let Some(written) = written else {
            return if self.get(key).is_none() {
                Choice::Open
            } else {
                Choice::Unclear
            };
        };
        let near = suggest::nearest(written, choices.iter().map(|(name, _)| *name));
        let meant = choices.iter().find(|(name, _)| Some(*name) == near);
        meant.map_or(Choice::Unclear, |(_, value)| Choice::Made(*value))
    }
}

/// What a text that names one of several chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice<T> {
    /// This one.
    Made(T),
    /// Nothing is written.
    Open,
    /// Something is written that could mean anything.
    Unclear,
}

/// What a TOML value is, in words.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A key as it may be quoted: someone may have pasted a secret where a name belongs.
pub(crate) fn short_name(name: &str) -> String {
    if secrets::is_secret(name) {
        return "…".to_owned();
    }
    name.chars().take(64).collect()
}

//! `env`: names and plain values, without secrets.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::fields::{Fields, short_name, type_name};
use crate::report::Finding;
use crate::secrets;

const EXAMPLE: &str = "env = { LOG_LEVEL = \"info\" }";

/// Reads `env`; numbers and truth values stand for their text.
pub(crate) fn read(service: &Fields<'_, '_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(fields) = service.names("env", EXAMPLE) else {
        return env;
    };
    let report = fields.report;
    for (name, value) in fields.entries() {
        if !is_name(name.value) {
            report.error(
                &name.span,
                Finding::new(format!(
                    "`{}` holds a name no variable can have",
                    fields.path
                ))
                .text(short_name(name.value))
                .suggest("letters, digits and _, not beginning with a digit"),
            );
            continue;
        }
        let text = match value.get_ref() {
            DeValue::String(_) => {
                let Some(text) = fields.text(name.value, "value") else {
                    continue;
                };
                text.value
            }
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(on) => on.to_string(),
            other => {
                report.error(
                    &value.span(),
                    Finding::new(format!(
                        "`{}` must be a text, not {}",
                        fields.path_of(name.value),
                        type_name(other)
                    ))
                    .text(format!("{} = …", name.value))
                    .suggest(EXAMPLE),
                );
                continue;
            }
        };
        if !fields.open(name.value, &text, &value.span()) {
            continue;
        }
        if secrets::is_secret_name(name.value) && secrets::begins_like_key(&text) {
            fields.refuse(name.value, "a secret", &value.span());
            continue;
        }
        if secrets::is_secret_name(name.value) && could_be_secret(&text) {
            report.warn(
                &value.span(),
                Finding::new(format!("`{}` may be a secret", fields.path_of(name.value)))
                    .text(format!("{} = …", name.value))
                    .suggest("keep secrets in a file named by `env_file`, readable only by you"),
            );
        }
        env.insert(name.value.to_owned(), text);
    }
    env
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !secrets::is_secret(name)
}

/// Not a number, a switch or a path: `MAX_TOKENS = "4096"`, `TOKEN_FILE = "~/token"`.
fn could_be_secret(value: &str) -> bool {
    !(value.is_empty()
        || value.parse::<f64>().is_ok()
        || ["true", "false"].contains(&value)
        || value.starts_with(['/', '~', '.', '$'])
        || value.contains("{port}"))
}

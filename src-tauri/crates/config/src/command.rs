//! A command: an array, or a text split at blanks with quotes as a shell would, nothing expanded.

use crate::fields::{At, Fields, type_name};
use crate::report::Finding;
use toml::de::DeValue;

/// What only a shell understands.
const SHELL: &[&str] = &["|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1", "2>"];

/// Reads `key` as a command; `Some` only if it has a program.
pub(crate) fn read(fields: &Fields<'_, '_>, key: &str) -> Option<At<Vec<String>>> {
    const EXAMPLE: &str = "[\"node\", \"server.js\"]";
    let value = fields.get(key)?;
    let words = match value.get_ref() {
        DeValue::Array(array) => {
            let words = fields.texts(key, EXAMPLE)?.value;
            if words.len() < array.len() {
                // What was dropped has been reported.
                return None;
            }
            words.into_iter().map(|word| word.value).collect()
        }
        DeValue::String(_) => {
            let text = fields.text(key, "node server.js")?;
            if !fields.open(key, &text.value, &text.span) {
                return None;
            }
            match split(&text.value) {
                Ok(words) => {
                    for (word, quoted) in &words {
                        if !quoted && SHELL.contains(&word.as_str()) {
                            fields.report.warn(
                                &text.span,
                                Finding::new(format!(
                                    "`{}` runs without a shell, `{word}` is passed on as it is",
                                    fields.path_of(key)
                                ))
                                .suggest("for a shell: [\"sh\", \"-c\", \"…\"]"),
                            );
                        }
                    }
                    words.into_iter().map(|(word, _)| word).collect()
                }
                Err(why) => {
                    fields.report.error(
                        &text.span,
                        Finding::new(format!("the command `{}` {why}", fields.path_of(key)))
                            .suggest(format!("write it as a list: {key} = {EXAMPLE}")),
                    );
                    return None;
                }
            }
        }
        other => {
            fields.report.error(
                &value.span(),
                Finding::new(format!(
                    "`{}` must be a command, not {}",
                    fields.path_of(key),
                    type_name(other)
                ))
                .suggest(format!("for example {key} = {EXAMPLE}")),
            );
            return None;
        }
    };
    let words: Vec<String> = words;
    if words
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        fields.report.error(
            &value.span(),
            Finding::new(format!("`{}` names no program", fields.path_of(key)))
                .suggest(format!("for example {key} = {EXAMPLE}")),
        );
        return None;
    }
    Some(At {
        value: words,
        span: value.span(),
    })
}

/// Splits at blanks. Single quotes keep everything, double quotes all but `\"` and `\\`, a backslash
/// outside of quotes the next character. Each word comes with whether any of it was quoted.
fn split(text: &str) -> Result<Vec<(String, bool)>, &'static str> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut begun = false;
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {
                if begun {
                    words.push((std::mem::take(&mut word), quoted));
                }
                begun = false;
                quoted = false;
            }
            '\'' | '"' => {
                begun = true;
                quoted = true;
                loop {
                    match chars.next() {
                        None => return Err("has a quote that is not closed"),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            None => return Err("has a quote that is not closed"),
                            Some(kept @ ('"' | '\\')) => word.push(kept),
                            Some(other) => {
                                word.push('\\');
                                word.push(other);
                            }
                        },
                        Some(kept) => word.push(kept),
                    }
                }
            }
            '\\' => {
                let Some(kept) = chars.next() else {
                    return Err("ends in a backslash");
                };
                begun = true;
                quoted = true;
                word.push(kept);
            }
            kept => {
                begun = true;
                word.push(kept);
            }
        }
    }
    if begun {
        words.push((word, quoted));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::split;

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap().into_iter().map(|(w, _)| w).collect()
    }

    #[test]
    fn splits_as_a_shell_without_expansion() {
        assert_eq!(words("node  server.js"), ["node", "server.js"]);
        assert_eq!(
            words(r#"sh -c 'echo "a  b" $HOME'"#),
            ["sh", "-c", r#"echo "a  b" $HOME"#]
        );
        assert_eq!(words(r#""my \"app\"" a\ b ''"#), [r#"my "app""#, "a b", ""]);
        assert_eq!(words("  "), Vec::<String>::new());
        assert!(split("a 'b").is_err());
        assert!(split(r#"a "b"#).is_err());
        assert!(split("a \\").is_err());
    }
}

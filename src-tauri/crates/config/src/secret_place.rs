//! Where a secret is kept: `{ env = … }`, `{ keychain = … }` or `{ file = … }`.

use cockpit_model::traffic::SecretPlace;
use toml::de::DeValue;

use crate::fields::Fields;
use crate::files::Paths;
use crate::report::Finding;

/// The place where the secret of a key is kept; the secret itself is refused and not quoted.
pub(crate) fn read(
    fields: &Fields<'_, '_>,
    paths: &Paths<'_>,
    key: &str,
    variable: &str,
) -> Option<SecretPlace> {
    const PLACES: &[&str] = &["env", "keychain", "file"];
    let value = fields.get(key)?;
    let example = format!("{key} = {{ env = \"{variable}\" }}");
    let DeValue::Table(_) = value.get_ref() else {
        fields.report.error(
            &value.span(),
            Finding::new(format!(
                "`{}` stands in this file, but secrets must not",
                fields.path_of(key)
            ))
            .text(format!("{key} = …"))
            .suggest(format!(
                "say where it is kept: {example}, {{ keychain = \"…\" }} or {{ file = \"…\" }}"
            )),
        );
        return None;
    };
    let place = fields.section(key, PLACES, &example)?;
    let named: Vec<&str> = PLACES
        .iter()
        .copied()
        .filter(|name| place.get(name).is_some())
        .collect();
    let &[name] = named.as_slice() else {
        fields.report.error(
            &place.at,
            Finding::new(format!(
                "`{}` must name one place where the secret is kept",
                fields.path_of(key)
            ))
            .suggest(example),
        );
        return None;
    };
    let text = place.open_text(name, variable)?;
    Some(match name {
        "keychain" => SecretPlace::Keychain(text.value),
        "file" => SecretPlace::File(paths.resolve(&text.value)),
        _ => {
            let plain = text
                .value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain || text.value.starts_with(|c: char| c.is_ascii_digit()) {
                fields.report.error(
                    &text.span,
                    Finding::new(format!(
                        "`{}` must be the name of an environment variable",
                        place.path_of("env")
                    ))
                    .text(format!("{key} = …"))
                    .suggest(example.clone()),
                );
                return None;
            }
            SecretPlace::Env(text.value)
        }
    })
}

//! Names and the order of services. The configuration has checked both for the person; here they are checked again,
//! because folders are named by them and a circle would wait for ever.

use std::collections::{BTreeMap, BTreeSet};

use cockpit_model::ServiceSpec;

/// Whether the settings hold together: names that can never be a path, each once, no unknown and no circular
/// dependency.
pub(crate) fn check(specs: &[ServiceSpec]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for spec in specs {
        if !is_name(&spec.name) {
            return Err(format!(
                "{:?} cannot be a service's name; use letters, digits, `-`, `_`, and `.` inside",
                spec.name
            ));
        }
        if !names.insert(spec.name.as_str()) {
            return Err(format!("two services are named {}; rename one", spec.name));
        }
    }
    for spec in specs {
        if let Some(unknown) = spec.depends_on.iter().find(|d| !names.contains(d.as_str())) {
            return Err(format!(
                "{} depends on {unknown:?}, which is not configured",
                spec.name
            ));
        }
    }
    let ordered: usize = levels(specs).iter().map(Vec::len).sum();
    match ordered == specs.len() {
        true => Ok(()),
        false => Err(
            "services depend on each other in a circle; remove one of the dependencies".to_owned(),
        ),
    }
}

fn is_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c != '.' && inside(c));
    name.len() <= 64
        && name.chars().all(inside)
        && edge(name.chars().next())
        && edge(name.chars().last())
        && !name.contains("..")
}

/// The services in levels: each depends only on those of earlier levels. What is in a circle is left out; what is not
/// configured is no dependency.
pub(crate) fn levels<'a>(specs: impl IntoIterator<Item = &'a ServiceSpec>) -> Vec<Vec<String>> {
    let mut left: BTreeMap<&str, Vec<&str>> = specs
        .into_iter()
        .map(|spec| {
            (
                spec.name.as_str(),
                spec.depends_on.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    let mut levels = Vec::new();
    loop {
        let next: Vec<String> = left
            .iter()
            .filter(|(_, needs)| !needs.iter().any(|need| left.contains_key(need)))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        if next.is_empty() {
            return levels;
        }
        for name in &next {
            left.remove(name.as_str());
        }
        levels.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_paths() {
        for good in ["api", "a", "my-api_2", "api.v2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "", ".", "..", "a/b", "a..b", ".a", "a.", "a b", "ä", "a\0", "../x",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}

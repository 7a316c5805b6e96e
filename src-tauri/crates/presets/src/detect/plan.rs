//! From what was found to a `cockpit.toml`: names, addresses, order, comments. Pure.

use std::collections::BTreeSet;

use cockpit_model::spec::Kind;

use super::{Candidate, Detected};

/// Gives every candidate a name of its own, and comments out those that want an address another one
/// already has: the file must hold as it is.
pub(super) fn settle(candidates: Vec<Candidate>) -> Vec<Detected> {
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    let mut active: Vec<(Kind, String)> = Vec::new();
    let mut all = Vec::new();
    for mut candidate in candidates {
        let name = unique(&candidate, &mut names);
        if candidate.doubt.is_none()
            && let Some(port) = candidate.port
            && !ports.insert(port)
        {
            candidate.doubt = Some(format!(
                "port {port} is taken by a service above: give it another address first"
            ));
        }
        let needs: Vec<String> = candidate
            .uses
            .iter()
            .filter_map(|kind| active.iter().find(|(k, _)| k == kind))
            .map(|(_, name)| quote(name))
            .collect();
        if !needs.is_empty() {
            candidate
                .lines
                .push(format!("depends_on = [{}]", needs.join(", ")));
        }
        if candidate.doubt.is_none() {
            active.push((candidate.kind, name.clone()));
        }
        all.push(Detected {
            toml: fragment(&name, &candidate),
            doubt: candidate.doubt,
            name,
            kind: candidate.kind,
            evidence: candidate.evidence,
        });
    }
    all
}

/// One service's table, with where it comes from above it.
fn fragment(name: &str, candidate: &Candidate) -> String {
    let mut lines = vec![
        format!("[services.{}]", key(name)),
        format!("kind = \"{}\"", candidate.kind.as_str()),
    ];
    lines.extend(candidate.lines.iter().cloned());
    let mut text = format!("# {}\n", comment(&candidate.evidence));
    match &candidate.doubt {
        None => {
            for line in lines {
                text.push_str(&line);
                text.push('\n');
            }
        }
        Some(doubt) => {
            text.push_str(&format!("# Not active: {}.\n", comment(doubt)));
            for line in lines {
                text.push_str(&format!("# {line}\n"));
            }
        }
    }
    text
}

/// A complete, commented `cockpit.toml` of what was found.
pub fn plan_toml(found: &[Detected]) -> String {
    let mut text = String::from(
        "# Studio Cockpit: what runs on this machine.\n\
         # Saved changes apply at once; only services whose own settings changed restart.\n\
         \n\
         [cockpit]\n\
         listen = \"127.0.0.1:4700\"    # the API, and the screen in a browser\n",
    );
    for one in found {
        text.push('\n');
        text.push_str(&one.toml);
    }
    if found.is_empty() {
        text.push_str(
            "\n\
             # Nothing that the cockpit knows was found on this machine. A service of your own:\n\
             #\n\
             # [services.api]\n\
             # command = [\"node\", \"server.js\"]\n\
             # cwd = \"~/code/app/api\"\n\
             # listen = \"127.0.0.1:3000\"\n\
             # ready = { http = \"http://127.0.0.1:{port}/health\" }\n",
        );
    }
    text
}

/// A name of letters, digits, `-`, `_` and `.` that no other service has.
fn unique(candidate: &Candidate, names: &mut BTreeSet<String>) -> String {
    // `@acme/api` is `api`.
    let last = candidate.wish.rsplit('/').next().unwrap_or_default();
    let safe: String = last
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '-' | '_' => c,
            'A'..='Z' => c.to_ascii_lowercase(),
            _ => '-',
        })
        .take(40)
        .collect();
    let safe = safe.trim_matches(['-', '_']);
    // A folder may be called what no service may: nothing, or like a secret (`SK Telecom app` would be `sk-telecom-app`).
    let base = match cockpit_config::check_name(safe) {
        Ok(()) => safe,
        Err(_) => candidate.kind.as_str(),
    };
    let mut name = base.to_owned();
    let mut number = 2;
    while !names.insert(name.clone()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}

/// A bare key; the names made here need no quotes.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.chars().all(bare) {
        name.to_owned()
    } else {
        quote(name)
    }
}

/// A TOML string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text that stays on a comment's line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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
    use cockpit_config::{Origin, Unchecked, parse};
    use proptest::prelude::*;
    use std::path::Path;

    fn candidate(wish: &str, kind: Kind, port: Option<u16>) -> Candidate {
        Candidate {
            wish: wish.into(),
            kind,
            evidence: format!("{wish} is here"),
            port,
            lines: match kind {
                Kind::Supabase => vec!["project = \"~/code/app\"".into()],
                Kind::Node => {
                    let mut lines = vec!["command = [\"node\", \"server.js\"]".to_owned()];
                    lines.extend(port.map(|p| format!("listen = \"127.0.0.1:{p}\"")));
                    lines
                }
                _ => vec![],
            },
            uses: vec![],
            doubt: None,
        }
    }

    fn accepted(text: &str) -> cockpit_config::Config {
        let origin = Origin {
            file: Path::new("/home/me/cockpit.toml"),
            home: Path::new("/home/me"),
            files: &Unchecked,
        };
        parse(text, &origin).unwrap_or_else(|errors| panic!("{text}\n{errors:?}"))
    }

    #[test]
    fn a_whole_machine() {
        let mut api = candidate("@acme/API", Kind::Node, Some(3000));
        api.uses = vec![Kind::Supabase, Kind::Ollama, Kind::Postgres];
        let found = settle(vec![
            candidate("ollama", Kind::Ollama, Some(11434)),
            candidate("supabase", Kind::Supabase, Some(54321)),
            candidate("supabase", Kind::Supabase, Some(54321)),
            api,
            candidate("tailscale", Kind::Tailscale, None),
        ]);
        let text = plan_toml(&found);
        let config = accepted(&text);
        let names: Vec<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["ollama", "supabase", "api", "tailscale"]);
        assert_eq!(config.services[2].depends_on, ["supabase", "ollama"]);
        assert!(text.contains("# [services.supabase-2]"));
        assert!(text.contains("# Not active: port 54321 is taken"));
        let doubts: Vec<bool> = found.iter().map(|one| one.doubt.is_some()).collect();
        assert_eq!(doubts, [false, false, true, false, false]);
    }

    #[test]
    fn an_empty_machine_is_a_valid_file() {
        assert!(accepted(&plan_toml(&[])).services.is_empty());
    }

    #[test]
    fn a_name_that_no_service_may_have_is_not_taken_over() {
        let found = settle(vec![
            candidate("SK Telecom app", Kind::Node, None),
            candidate("???", Kind::Node, None),
        ]);
        let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["node", "node-2"]);
        accepted(&plan_toml(&found));
    }

    proptest! {
        #[test]
        fn whatever_was_found_the_file_holds(
            wishes in proptest::collection::vec(("\\PC{0,20}", 0_usize..4, proptest::option::of(1_u16..9)), 0..8)
        ) {
            let kinds = [Kind::Ollama, Kind::Node, Kind::Tailscale, Kind::Postgres];
            let candidates: Vec<Candidate> = wishes
                .iter()
                .map(|(wish, kind, port)| {
                    let kind = kinds[*kind];
                    // The kinds' own addresses are theirs; Node has any or none.
                    let port = match kind {
                        Kind::Ollama => Some(11434),
                        Kind::Postgres => Some(5432),
                        Kind::Node => port.map(|p| 3000 + p),
                        _ => None,
                    };
                    let mut one = candidate(wish, kind, port);
                    one.lines.push(format!("# {}", comment(wish)));
                    if kind == Kind::Node {
                        one.lines.push(format!("env = {{ NOTE = {} }}", quote(wish)));
                    }
                    one.uses = vec![Kind::Ollama];
                    one
                })
                .collect();
            let found = settle(candidates);
            prop_assert_eq!(found.len(), wishes.len());
            accepted(&plan_toml(&found));
        }
    }
}

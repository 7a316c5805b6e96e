//! What a person probably meant.

/// Words of other tools for what is called otherwise here.
const ALIASES: &[(&str, &str)] = &[
    ("after", "depends_on"),
    ("args", "command"),
    ("auto_start", "autostart"),
    ("check", "ready"),
    ("cmd", "command"),
    ("depends", "depends_on"),
    ("dir", "cwd"),
    ("directory", "cwd"),
    ("enabled", "autostart"),
    ("environment", "env"),
    ("exec", "command"),
    ("health", "ready"),
    ("health_check", "ready"),
    ("healthcheck", "ready"),
    ("instances", "replicas"),
    ("interval", "every"),
    ("liveness", "live"),
    ("log", "logs"),
    ("needs", "depends_on"),
    ("path", "cwd"),
    ("period", "every"),
    ("port", "listen"),
    ("probe", "ready"),
    ("program", "command"),
    ("readiness", "ready"),
    ("requires", "depends_on"),
    ("retries", "failures"),
    ("run", "command"),
    ("script", "command"),
    ("shutdown", "stop"),
    ("type", "kind"),
    ("working_dir", "cwd"),
];

/// The known word nearest to `word`, if one is near enough to be a slip of it.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Longer ones are no slips, and the distance costs the product of the lengths.
    if word.len() > 80 {
        return None;
    }
    let lower = word.to_lowercase().replace('-', "_");
    let alias = ALIASES
        .iter()
        .find(|(from, _)| *from == lower)
        .map(|(_, to)| *to);
    let allowed = (word.chars().count() / 3).max(1);
    let mut best: Option<(usize, &'k str)> = None;
    for candidate in known {
        if alias == Some(candidate) {
            return Some(candidate);
        }
        let plain = candidate.to_lowercase().replace('-', "_");
        let distance = if lower == plain {
            0
        } else {
            strsim::damerau_levenshtein(&lower, &plain)
        };
        if distance <= allowed && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, word)| word)
}

/// `did you mean `x`?`, or the known words where none is near.
pub(crate) fn did_you_mean(word: &str, known: &[&str], what: &str) -> Option<String> {
    if let Some(near) = nearest(word, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    if known.is_empty() {
        return None;
    }
    let mut list: Vec<&str> = known.iter().copied().take(24).collect();
    list.sort_unstable();
    Some(format!("{what}: {}", list.join(", ")))
}

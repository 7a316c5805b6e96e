//! Words that no prompt may hold.

/// The first of `words` (in lower case) that stands in a string of the body, whatever its case. A word stands
/// alone: `art` is not found in `party`.
pub(super) fn find<'w>(body: &[u8], words: &'w [String]) -> Option<&'w str> {
    if words.is_empty() {
        return None;
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else {
        // What cannot be looked through may hold anything.
        return words.first().map(String::as_str);
    };
    let mut found = None;
    strings(&value, &mut |text| {
        if found.is_none() {
            let text = text.to_lowercase();
            found = words.iter().find(|word| stands_in(&text, word));
        }
    });
    found.map(String::as_str)
}

fn strings(value: &serde_json::Value, each: &mut impl FnMut(&str)) {
    // serde_json itself bounds the depth.
    match value {
        serde_json::Value::String(text) => each(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, each)),
        serde_json::Value::Object(members) => {
            members.values().for_each(|member| strings(member, each));
        }
        _ => {}
    }
}

fn stands_in(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_alone_wherever_they_are() {
        let words = ["project-x".to_owned(), "geheim".to_owned()];
        let body = |text: &str| {
            serde_json::json!({"model": "m", "messages": [{"content": [{"text": text}]}]})
                .to_string()
        };
        let found = |text: &str| find(body(text).as_bytes(), &words);
        assert_eq!(found("Tell me of Project-X!"), Some("project-x"));
        assert_eq!(found("das ist GEHEIM"), Some("geheim"));
        assert_eq!(found("geheimnisvoll, project-xy"), None);
        assert!(
            find(br#"{"model":"m","x":1e999}"#, &words).is_some(),
            "not readable"
        );
        assert_eq!(
            find(br#"{"a":"\u0067eheim"}"#, &words),
            Some("geheim"),
            "also escaped"
        );
    }
}

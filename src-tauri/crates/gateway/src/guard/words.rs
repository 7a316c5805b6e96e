//! Words that no prompt may hold.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The first of `words` (in lower case) that stands in a string of the body, whatever its case. A word stands
/// alone: `art` is not found in `party`.
pub(super) fn find<'w>(body: &[u8], words: &'w [String]) -> Option<&'w str> {
    if words.is_empty() {
        return None;
    }
    let mut found = None;
    let search = Search {
        words,
        found: &mut found,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = search.deserialize(&mut json).and_then(|()| json.end());
    match read {
        Ok(()) => found,
        // What cannot be looked through may hold anything.
        Err(_) => words.first().map(String::as_str),
    }
}

/// Looks through a value as it is read: where a key stands twice, through both, whichever a reader takes. serde_json
/// itself bounds the depth.
struct Search<'f, 'w> {
    words: &'w [String],
    found: &'f mut Option<&'w str>,
}

impl<'w> Search<'_, 'w> {
    fn again(&mut self) -> Search<'_, 'w> {
        Search {
            words: self.words,
            found: &mut *self.found,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.found.is_none() {
            let text = text.to_lowercase();
            let word = self.words.iter().find(|word| stands_in(&text, word));
            *self.found = word.map(String::as_str);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.again())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(self.again())?;
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
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
        for twice in [
            r#"{"a":"geheim","a":"nothing"}"#,
            r#"{"a":"nothing","a":"geheim"}"#,
        ] {
            assert_eq!(find(twice.as_bytes(), &words), Some("geheim"), "{twice}");
        }
        let all = br#"{"a":[null,true,1,-1,1.5,{}],"geheim":"a key is none"}"#;
        assert_eq!(find(all, &words), None);
    }
}

//! Rewriting a request in place: everything that is not meant stays as it was written, byte for byte, unknown fields,
//! spellings of numbers and the order of keys included.
//!
//! Only members of the outermost object count, and of `stream_options`; where a key stands twice, each is rewritten, so
//! that it does not matter which one a reader takes. Keys are compared as they read, not as they are spelled
//! (`"mod\u0065l"` is `model`).

mod scan;
#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;

use self::scan::{Object, is_space};

/// The body is not an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's body is not a JSON object: send one, as the API's reference shows")]
pub struct NotAnObject;

/// What is to be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes<'a> {
    /// The model to be asked for, instead of the one that is; a body that names none is left so.
    pub model: Option<&'a str>,
    /// Sets `stream_options.include_usage`.
    pub include_usage: bool,
    /// The most output that may be asked for.
    pub most: Option<Most<'a>>,
}

/// The most output that may be asked for. A body that asks for none, for more, or for what is no number of tokens, asks
/// for exactly that much afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most<'a> {
    /// How many tokens.
    pub tokens: u64,
    /// The member of the outermost object that it is said in; none: the outermost itself.
    pub within: Option<&'a str>,
    /// The names it is said by.
    pub names: &'a [&'a str],
    /// Those of them that its reader heeds, and of which one has to be there.
    pub heeded: &'a [&'a str],
    /// The one that is added where none of those is.
    pub added: &'a str,
}

/// The body with the changes; the same bytes where there are none to make.
///
/// Expects JSON, such as [`super::Request::read`] has checked. Other bytes never make it panic, but what it makes of
/// them is not JSON either.
pub fn rewrite(body: &Bytes, changes: &Changes<'_>) -> Result<Bytes, NotAnObject> {
    let object = Object::scan(body, 0)?;
    if body
        .get(object.after..)
        .is_none_or(|rest| !rest.iter().all(is_space))
    {
        return Err(NotAnObject);
    }
    let mut edits = Edits::default();
    if let Some(model) = changes.model {
        let model = serde_json::to_vec(model).map_err(|_| NotAnObject)?;
        for member in object.named(body, "model") {
            edits.replace(member.value.clone(), &model);
        }
    }
    if changes.include_usage {
        let mut told = false;
        for member in object.named(body, "stream_options") {
            told = true;
            match body.get(member.value.clone()).unwrap_or_default() {
                b"null" => edits.replace(member.value.clone(), b"{\"include_usage\":true}"),
                [b'{', ..] => {
                    let options = Object::scan(body, member.value.start)?;
                    let mut asked = false;
                    for usage in options.named(body, "include_usage") {
                        asked = true;
                        edits.replace(usage.value.clone(), b"true");
                    }
                    if !asked {
                        edits.append(&options, b"\"include_usage\":true");
                    }
                }
                // What is wrong is the provider's to refuse.
                _ => {}
            }
        }
        if !told {
            edits.append(&object, b"\"stream_options\":{\"include_usage\":true}");
        }
    }
    if let Some(most) = &changes.most {
        match most.within {
            None => edits.limit(body, &object, most),
            Some(outer) => {
                let alone = format!("{{\"{}\":{}}}", most.added, most.tokens);
                let mut said = false;
                for member in object.named(body, outer) {
                    said = true;
                    match body.get(member.value.start) {
                        Some(b'{') => {
                            let options = Object::scan(body, member.value.start)?;
                            edits.limit(body, &options, most);
                        }
                        // Nothing that could be read as a limit.
                        _ => edits.replace(member.value.clone(), alone.as_bytes()),
                    }
                }
                if !said {
                    edits.append(&object, format!("\"{outer}\":{alone}").as_bytes());
                }
            }
        }
    }
    Ok(edits.apply(body))
}

/// Where a member of the outermost object stands whose value is `null`, with the comma that parts it from its
/// neighbour; `None` where there is none, or more than one.
pub(super) fn null_member(body: &[u8], name: &str) -> Option<Range<usize>> {
    let object = Object::scan(body, 0).ok()?;
    if !body.get(object.after..)?.iter().all(is_space) {
        return None;
    }
    let mut named = object.named(body, name);
    let (member, None) = (named.next()?, named.next()) else {
        return None;
    };
    if body.get(member.value.clone())? != b"null" {
        return None;
    }
    let end = member.value.end;
    let mut members = object.members.iter();
    let before = members
        .by_ref()
        .take_while(|one| one.key != member.key)
        .last();
    Some(match (before, members.next()) {
        (Some(before), _) => before.value.end..end,
        (None, Some(next)) => member.key.start..next.key.start,
        (None, None) => member.key.start..end,
    })
}

/// Ranges of a body, and what is to stand there instead.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, Vec<u8>)>);

impl Edits {
    fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        self.0.push((range, with.to_vec()));
    }

    /// A further member at the end of an object.
    fn append(&mut self, object: &Object, member: &[u8]) {
        let place = object.end..object.end;
        let first = object.members.is_empty() && self.0.iter().all(|(range, _)| *range != place);
        let comma: &[u8] = if first { b"" } else { b"," };
        self.replace(place, &[comma, member].concat());
    }

    /// See [`Most`].
    fn limit(&mut self, body: &[u8], object: &Object, most: &Most<'_>) {
        let tokens = most.tokens.to_string();
        for name in most.names {
            for member in object.named(body, name) {
                let said = body.get(member.value.clone()).unwrap_or_default();
                let said = std::str::from_utf8(said)
                    .ok()
                    .and_then(|said| said.parse::<u64>().ok());
                if said.is_none_or(|said| said > most.tokens) {
                    self.replace(member.value.clone(), tokens.as_bytes());
                }
            }
        }
        let heeded = most
            .heeded
            .iter()
            .any(|name| object.named(body, name).next().is_some());
        if !heeded {
            self.append(object, format!("\"{}\":{tokens}", most.added).as_bytes());
        }
    }

    fn apply(mut self, body: &Bytes) -> Bytes {
        if self
            .0
            .iter()
            .all(|(range, with)| body.get(range.clone()) == Some(with))
        {
            return body.clone();
        }
        self.0.sort_by_key(|(range, _)| range.start);
        let more: usize = self.0.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(body.len() + more);
        let mut upto = 0;
        for (range, with) in &self.0 {
            out.extend_from_slice(body.get(upto..range.start).unwrap_or_default());
            out.extend_from_slice(with);
            upto = range.end;
        }
        out.extend_from_slice(body.get(upto..).unwrap_or_default());
        out.into()
    }
}

//! Where the members of a JSON object stand, found without reading what is in them.

use std::ops::Range;

use memchr::memchr2;

use super::NotAnObject;

/// Where the members of an object stand.
pub(super) struct Object {
    pub(super) members: Vec<Member>,
    /// After the opening brace, or after the last member's value.
    pub(super) end: usize,
    /// After the closing brace.
    pub(super) after: usize,
}

pub(super) struct Member {
    /// With its quotes.
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Object {
    pub(super) fn scan(body: &[u8], start: usize) -> Result<Self, NotAnObject> {
        let mut scan = Scan { body, at: start };
        scan.space();
        scan.expect(b'{')?;
        let mut object = Self {
            // As many as most requests have.
            members: Vec::with_capacity(8),
            end: scan.at,
            after: 0,
        };
        scan.space();
        if scan.peek() == Some(b'}') {
            object.after = scan.at + 1;
            return Ok(object);
        }
        loop {
            scan.space();
            let key = scan.string()?;
            scan.space();
            scan.expect(b':')?;
            scan.space();
            let value = scan.value()?;
            object.end = value.end;
            object.members.push(Member { key, value });
            scan.space();
            match scan.next() {
                Some(b',') => {}
                Some(b'}') => break,
                _ => return Err(NotAnObject),
            }
        }
        object.after = scan.at;
        Ok(object)
    }

    pub(super) fn named<'a>(
        &'a self,
        body: &'a [u8],
        name: &'a str,
    ) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |member| {
            let key = body.get(member.key.clone()).unwrap_or_default();
            let plain = key.get(1..key.len().saturating_sub(1)).unwrap_or_default();
            plain == name.as_bytes()
                || (plain.contains(&b'\\')
                    && serde_json::from_slice::<String>(key).is_ok_and(|key| key == name))
        })
    }
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotAnObject> {
        (self.next() == Some(byte)).then_some(()).ok_or(NotAnObject)
    }

    fn space(&mut self) {
        while self.peek().as_ref().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<Range<usize>, NotAnObject> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            let rest = self.body.get(self.at..).ok_or(NotAnObject)?;
            self.at += memchr2(b'"', b'\\', rest).ok_or(NotAnObject)?;
            match self.next() {
                Some(b'"') => return Ok(start..self.at),
                _ => self.at += 1,
            }
        }
    }

    fn value(&mut self) -> Result<Range<usize>, NotAnObject> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(byte) if depth > 0 && (is_space(&byte) || matches!(byte, b',' | b':')) => {
                    self.at += 1;
                }
                // A number or a word.
                Some(_) => {
                    let word = self.at;
                    while self.peek().is_some_and(|byte| {
                        !is_space(&byte)
                            && !matches!(byte, b',' | b':' | b'}' | b']' | b'"' | b'{' | b'[')
                    }) {
                        self.at += 1;
                    }
                    if self.at == word {
                        return Err(NotAnObject);
                    }
                }
                None => return Err(NotAnObject),
            }
            if depth == 0 {
                return Ok(start..self.at);
            }
        }
    }
}

pub(super) fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

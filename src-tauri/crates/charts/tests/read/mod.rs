//! Reads an SVG back.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Tag names and texts of a well-formed document.
pub(crate) fn parse(svg: &str) -> (Vec<String>, Vec<String>) {
    let mut reader = Reader::from_str(svg);
    reader.config_mut().check_end_names = true;
    let (mut tags, mut texts) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return (tags, texts),
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    attribute.unwrap();
                }
                tags.push(tag.name().as_ref().to_owned());
            }
            Event::Text(text) => {
                let text: &str = &text;
                if !text.trim().is_empty() {
                    texts.push(text.trim().to_owned());
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn count(tags: &[String], name: &str) -> usize {
    tags.iter().filter(|tag| *tag == name).count()
}

//! Collects mistakes and warnings with their places, so that one reading of the file tells them all.

use std::cell::RefCell;
use std::ops::Range;

use cockpit_model::verdict::ConfigError;

use crate::secrets;

/// Longest offending text that is quoted, in characters.
const QUOTED: usize = 60;

/// Settings whose value may be quoted even if it cannot be understood.
const HARMLESS: &[&str] = &[
    "allow_remote",
    "allowed_hosts",
    "autostart",
    "command",
    "cwd",
    "depends_on",
    "env_file",
    "keep_awake",
    "kind",
    "limits",
    "listen",
    "live",
    "log_level",
    "logs",
    "models",
    "project",
    "ready",
    "replicas",
    "restart",
    "start_timeout",
    "stop",
    "targets",
    "timeout",
];

/// What was found while reading one file.
pub(crate) struct Report<'a> {
    source: &'a str,
    file: String,
    /// Byte offset of each line's first byte.
    lines: Vec<usize>,
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<ConfigError>>,
}

/// One finding, before it is placed.
pub(crate) struct Finding {
    message: String,
    text: Option<String>,
    suggestion: Option<String>,
    quote: bool,
}

impl Finding {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            text: None,
            suggestion: None,
            quote: true,
        }
    }

    /// The message says it all: quote nothing.
    pub(crate) fn unquoted(mut self) -> Self {
        self.quote = false;
        self
    }

    /// The offending text, where the source's own is not the right one.
    pub(crate) fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    pub(crate) fn suggest_if(mut self, suggestion: Option<String>) -> Self {
        self.suggestion = suggestion.or(self.suggestion);
        self
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(source: &'a str, file: String) -> Self {
        let lines = std::iter::once(0)
            .chain(source.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            source,
            file,
            lines,
            errors: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// A mistake at `span`; quotes the source there unless the finding brings its own text.
    pub(crate) fn error(&self, span: &Range<usize>, finding: Finding) {
        let error = self.place(span, finding);
        self.errors.borrow_mut().push(error);
    }

    /// A slip or a setting without effect at `span`.
    pub(crate) fn warn(&self, span: &Range<usize>, finding: Finding) {
        let warning = self.place(span, finding);
        self.warnings.borrow_mut().push(warning);
    }

    /// Whether any mistake was found so far.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Errors and warnings, each in the order of the file.
    pub(crate) fn finish(self) -> (Vec<ConfigError>, Vec<ConfigError>) {
        let mut errors = self.errors.into_inner();
        let mut warnings = self.warnings.into_inner();
        errors.sort_by_key(|e| (e.line, e.column));
        warnings.sort_by_key(|e| (e.line, e.column));
        errors.dedup();
        warnings.dedup();
        (errors, warnings)
    }

    /// 1-based line of a byte offset.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.position(offset).0
    }

    /// 1-based line, and column in characters, of a byte offset.
    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.source.len());
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let end = self.source.floor_char_boundary(offset);
        let column = self.source.get(start..end).unwrap_or("").chars().count();
        (line, column + 1)
    }

    /// The whole line around an offset. Of a setting that is not known to be harmless only the name:
    /// what does not parse cannot be judged.
    pub(crate) fn source_line(&self, offset: usize) -> String {
        let line = self.line(offset);
        let text = self.source.lines().nth(line - 1).unwrap_or("").trim();
        match text.split_once('=') {
            Some((name, _)) if !HARMLESS.contains(&name.trim()) => {
                secrets::redact_line(&shorten(&format!("{} = …", name.trim())))
            }
            _ => secrets::redact_line(&shorten(text)),
        }
    }

    fn place(&self, span: &Range<usize>, finding: Finding) -> ConfigError {
        let (line, column) = self.position(span.start);
        let text = finding.text.or_else(|| {
            if !finding.quote {
                return None;
            }
            let text = self.source.get(span.clone())?.lines().next()?.trim();
            (!text.is_empty()).then(|| secrets::redact_line(&shorten(text)))
        });
        ConfigError {
            file: self.file.clone(),
            line,
            column,
            message: printable(finding.message),
            text: text.map(printable),
            suggestion: finding.suggestion.map(printable),
        }
    }
}

/// Control characters of the file must not reach a terminal.
fn printable(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "\u{fffd}")
    } else {
        text
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

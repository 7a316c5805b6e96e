//! The format itself.

use std::fmt::Write;

use cockpit_metering::counters::Histogram;

/// What is true is 1.
pub(super) fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// A text of families, each with its help, its type and its samples.
#[derive(Default)]
pub(super) struct Exposition(String);

impl Exposition {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn single(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A family of so many samples; nothing of it where there are none.
    pub(super) fn samples<const N: usize, S: AsRef<str>>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, S); N], f64)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_some() {
            self.family(name, kind, help);
        }
        for (labels, value) in samples {
            let labels = labels
                .each_ref()
                .map(|(label, text)| (*label, text.as_ref()));
            self.sample(name, &labels, value);
        }
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.sample_of(name, "", labels, value);
    }

    /// A histogram's samples: its bounds, its sum, its count.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], of: &Histogram) {
        for (bound, count) in of.buckets() {
            let le = if bound.is_infinite() {
                "+Inf".to_owned()
            } else {
                bound.to_string()
            };
            let with_bound: Vec<_> = labels
                .iter()
                .copied()
                .chain([("le", le.as_str())])
                .collect();
            self.sample_of(name, "_bucket", &with_bound, count as f64);
        }
        self.sample_of(name, "_sum", labels, of.sum());
        self.sample_of(name, "_count", labels, of.count() as f64);
    }

    /// A sample whose name says which part of its family it is.
    pub(super) fn sample_of(
        &mut self,
        name: &str,
        part: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.0.push_str(name);
        self.0.push_str(part);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.0.push(if i == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        // The format's words for what is not finite; Rust's own are `inf` and `-inf`.
        let _ = if value == f64::INFINITY {
            writeln!(self.0, " +Inf")
        } else if value == f64::NEG_INFINITY {
            writeln!(self.0, " -Inf")
        } else {
            writeln!(self.0, " {value}")
        };
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        self.0
    }
}

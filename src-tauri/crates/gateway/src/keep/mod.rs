//! Prompts that a person wants kept, with what was answered. What the rules made of a prompt is what is kept: where
//! personal data is replaced, it is replaced here too. Refused prompts are not kept.

mod text;

use std::sync::Arc;

use bytes::Bytes;
use cockpit_metering::wire::Dialect;
use cockpit_model::Timestamp;
use cockpit_model::kept::Exchange;

use crate::seams::Prompts;

/// How much of an answer is taken along as it passes. A stream says much besides its text.
pub(crate) const MOST: usize = 1 << 20;

/// A prompt that is to be kept, and its answer as it passed.
#[derive(Debug)]
pub struct Kept {
    /// The call.
    pub call: String,
    /// When it was asked.
    pub at: Timestamp,
    /// The route whose rule keeps it; empty: the gateway's.
    pub rule: String,
    dialect: Dialect,
    request: Bytes,
    answer: Bytes,
    cut: bool,
}

impl Kept {
    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        self.request.len() + self.answer.len()
    }

    /// What was said. Takes its time.
    pub fn read(&self) -> Exchange {
        let (prompt, prompt_cut) = text::prompt(&self.request);
        let (answer, answer_cut) = text::answer(self.dialect, &self.answer);
        Exchange {
            prompt,
            prompt_cut,
            answer,
            answer_cut: answer_cut || self.cut,
        }
    }
}

/// A prompt whose answer is not there yet.
pub(crate) struct Slot {
    pub(crate) prompts: Arc<dyn Prompts>,
    pub(crate) call: String,
    pub(crate) at: Timestamp,
    pub(crate) rule: String,
    pub(crate) dialect: Dialect,
    pub(crate) request: Bytes,
}

impl Slot {
    /// The answer has ended; `cut`: there was more of it.
    pub(crate) fn end(self, answer: Bytes, cut: bool) {
        let taken = answer.slice(..answer.len().min(MOST));
        self.prompts.keep(Kept {
            call: self.call,
            at: self.at,
            rule: self.rule,
            dialect: self.dialect,
            request: self.request,
            cut: cut || taken.len() < answer.len(),
            answer: taken,
        });
    }
}

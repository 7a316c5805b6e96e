//! What was asked and answered, where a person wants that kept.

use serde::{Deserialize, Serialize};

use crate::call::Call;

/// What was said in a call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Exchange {
    /// The request as it went to the model, as a JSON text: with personal data replaced where a rule says so, and
    /// without pictures and files.
    pub prompt: String,
    /// Whether it was longer than what is kept.
    pub prompt_cut: bool,
    /// What the model said, as text; the tools it called as they were written.
    pub answer: String,
    /// Whether it was longer than what is kept, or not read at all.
    pub answer_cut: bool,
}

/// A call, and what was said in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallDetail {
    /// Its account.
    pub call: Call,
    /// What was said; null where prompts are not kept, or not so long.
    pub kept: Option<Exchange>,
}

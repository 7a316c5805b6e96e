//! What a model answers, whatever the protocol: text, calls of tools, JSON by a schema; how many
//! tokens each side has; how fast it comes. The same question gets the same answer.
//!
//! A model that is given tools and was asked by a person (not by a tool's result) calls the first
//! tool, or the one that it is told to. A token of an answer is a word with its leading space; a
//! token of a question is four bytes of its text.

mod cache;
mod invent;
mod reading;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use serde_json::Value;
use tokio::time::sleep;

use crate::words;
pub(crate) use cache::{Breakpoint, Cached, PromptCache};
pub(crate) use reading::{Reading, text_of};

/// What all models of a double share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Mind {
    seed: u64,
    /// 0: as fast as it can.
    tokens_per_second: f64,
    numbers: Arc<AtomicU64>,
    cache: Arc<Mutex<PromptCache>>,
}

/// A tool that may be called.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// The JSON schema of its arguments.
    pub(crate) parameters: Value,
}

/// Which tool is to be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// As the model thinks best.
    #[default]
    Auto,
    /// None.
    Never,
    /// This one.
    Named(String),
}

/// What a model is asked.
#[derive(Debug, Default)]
pub(crate) struct Question<'a> {
    pub(crate) model: &'a str,
    pub(crate) reading: Reading,
    /// The most tokens it may write.
    pub(crate) limit: Option<u64>,
    /// Texts at which it stops.
    pub(crate) stop: Vec<String>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    /// JSON by this schema (`{}`: any object) instead of text.
    pub(crate) schema: Option<Value>,
    /// Whether it thinks aloud first.
    pub(crate) think: bool,
    /// Which of several answers to one question.
    pub(crate) variant: u64,
}

/// Why an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It was all.
    Done,
    /// The limit.
    Limit,
    /// That text.
    Sequence(String),
    /// It wants tools to be called.
    Calls,
}

/// A call of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

impl Call {
    /// Its arguments as text, in pieces as a stream brings them.
    pub(crate) fn pieces(&self) -> Vec<String> {
        let text: Vec<char> = self.arguments.to_string().chars().collect();
        text.chunks(8).map(|piece| piece.iter().collect()).collect()
    }
}

/// An answer before it is written.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What it thinks first.
    pub(crate) thoughts: Vec<String>,
    /// The text in tokens; empty, where tools are called.
    pub(crate) tokens: Vec<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) end: End,
    pub(crate) prompt_tokens: u64,
    /// Time to read the prompt.
    pub(crate) reading: Duration,
    /// Time between two tokens.
    pub(crate) pace: Duration,
}

impl Answer {
    /// All tokens it writes: thoughts, text and calls.
    pub(crate) fn written(&self) -> u64 {
        let calls: usize = self.calls.iter().map(|call| call.pieces().len()).sum();
        (self.thoughts.len() + self.tokens.len() + calls) as u64
    }

    /// Waits for the first token.
    pub(crate) async fn read(&self) {
        pause(self.reading).await;
    }

    /// Waits for the next token.
    pub(crate) async fn next(&self) {
        pause(self.pace).await;
    }

    /// Waits as long as the whole of it takes.
    pub(crate) async fn all(&self) {
        self.read().await;
        self.write().await;
    }

    /// Waits as long as all its tokens take.
    pub(crate) async fn write(&self) {
        let tokens = u32::try_from(self.written()).unwrap_or(u32::MAX);
        pause(self.pace.saturating_mul(tokens)).await;
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

impl Mind {
    pub(crate) fn new(seed: u64, tokens_per_second: f64) -> Self {
        Self {
            seed,
            tokens_per_second,
            numbers: Arc::default(),
            cache: Arc::default(),
        }
    }

    /// An identifier that no other answer of this process has.
    pub(crate) fn id(&self, prefix: &str) -> String {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{:08x}{number:016x}", self.seed)
    }

    /// The caches of prompts that were read before.
    pub(crate) fn with_cache<T>(&self, f: impl FnOnce(&mut PromptCache) -> T) -> T {
        f(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the model will say.
    pub(crate) fn answer(&self, asked: &Question<'_>) -> Answer {
        let text = &asked.reading.text;
        let purpose = format!("{}\n{text}{}", asked.model, variant(asked.variant));
        let mut rng = words::rng(self.seed, &purpose);
        let mut tokens = words::tokens(&mut rng, usize::MAX);
        let unpaced = self.tokens_per_second <= 0.0;
        let speed = self.tokens_per_second.max(0.1) * rng.random_range(0.9..1.1);
        let reading = Duration::from_millis(rng.random_range(20..120));
        let thoughts = if asked.think {
            words::tokens(&mut rng, 16)
        } else {
            vec![]
        };
        let mut end = End::Done;
        let call = self.wanted(asked).map(|tool| Call {
            name: tool.name.clone(),
            arguments: invent::value(&mut rng, &tool.parameters),
        });
        if call.is_some() {
            tokens.clear();
            end = End::Calls;
        } else if let Some(schema) = &asked.schema {
            tokens = pieces(&invent::value(&mut rng, schema).to_string());
        }
        if let Some(sequence) = stop_at(&mut tokens, &asked.stop) {
            end = End::Sequence(sequence);
        }
        let limit = asked.limit.and_then(|limit| usize::try_from(limit).ok());
        if let Some(limit) = limit.filter(|limit| *limit < tokens.len()) {
            tokens.truncate(limit);
            end = End::Limit;
        }
        Answer {
            thoughts,
            tokens,
            calls: call.into_iter().collect(),
            end,
            prompt_tokens: asked.reading.tokens(),
            reading: if unpaced { Duration::ZERO } else { reading },
            pace: if unpaced {
                Duration::ZERO
            } else {
                Duration::from_secs_f64(1.0 / speed)
            },
        }
    }

    fn wanted<'a>(&self, asked: &'a Question<'_>) -> Option<&'a Tool> {
        match &asked.choice {
            Choice::Never => None,
            Choice::Named(name) => asked.tools.iter().find(|tool| tool.name == *name),
            Choice::Auto if asked.reading.by_tool => None,
            Choice::Auto => asked.tools.first(),
        }
    }

    /// A vector of length 1 for a text.
    pub(crate) fn embed(&self, text: &str, length: usize) -> Vec<f32> {
        let mut rng = words::rng(self.seed, text);
        let vector: Vec<f32> = (0..length).map(|_| rng.random_range(-1.0..1.0)).collect();
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / norm.max(f32::EPSILON)).collect()
    }
}

fn variant(number: u64) -> String {
    if number == 0 {
        String::new()
    } else {
        format!("\nanswer {number}")
    }
}

/// Cuts the text before the first of the sequences, which it answers.
fn stop_at(tokens: &mut Vec<String>, sequences: &[String]) -> Option<String> {
    let text = tokens.concat();
    let (at, sequence) = sequences
        .iter()
        .filter(|sequence| !sequence.is_empty())
        .filter_map(|sequence| Some((text.find(sequence)?, sequence)))
        .min()?;
    let mut left = at;
    let mut kept = Vec::new();
    for token in tokens.drain(..) {
        if left == 0 {
            break;
        }
        let part: String = token
            .get(..left.min(token.len()))
            .unwrap_or_default()
            .to_owned();
        left = left.saturating_sub(token.len());
        kept.push(part);
    }
    *tokens = kept;
    Some(sequence.clone())
}

/// A text in tokens of a few letters.
fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(4)
        .map(|piece| piece.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn ask(text: &str) -> Question<'static> {
        Question {
            model: "m",
            reading: Reading {
                text: text.to_owned(),
                ..Reading::default()
            },
            ..Question::default()
        }
    }

    #[test]
    fn a_limit_and_a_stop_end_it() {
        let mind = Mind::new(1, 0.0);
        let whole = mind.answer(&ask("why?"));
        assert_eq!(whole.end, End::Done);
        let short = mind.answer(&Question {
            limit: Some(3),
            ..ask("why?")
        });
        assert_eq!((short.end.clone(), short.written()), (End::Limit, 3));
        let word = whole.tokens.get(4).unwrap().trim().to_owned();
        let stopped = mind.answer(&Question {
            stop: vec![word.clone()],
            ..ask("why?")
        });
        assert_eq!(stopped.end, End::Sequence(word.clone()));
        let text = stopped.tokens.concat();
        assert!(whole.tokens.concat().starts_with(&text) && !text.contains(&word));
    }

    #[test]
    fn a_tool_is_called_once_and_as_its_schema_says() {
        let mind = Mind::new(1, 0.0);
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]}
        }});
        let tool = Tool {
            name: "weather".to_owned(),
            parameters: schema.clone(),
        };
        let mut asked = ask("weather?");
        asked.tools = vec![tool];
        let answer = mind.answer(&asked);
        assert_eq!((answer.end, answer.tokens.len()), (End::Calls, 0));
        let arguments = &answer.calls.first().unwrap().arguments;
        assert!(arguments["city"].is_string() && arguments["days"].is_i64());
        assert!(["c", "f"].contains(&arguments["unit"].as_str().unwrap()));
        asked.reading.by_tool = true;
        assert!(mind.answer(&asked).calls.is_empty());
        let answer = mind.answer(&Question {
            schema: Some(schema),
            ..ask("weather?")
        });
        let json: Value = serde_json::from_str(&answer.tokens.concat()).unwrap();
        assert!(json["city"].is_string());
    }
}

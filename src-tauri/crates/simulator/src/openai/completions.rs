//! `/v1/completions`: text goes on.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use cockpit_model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{StreamOptions, Texts};
use super::{body, find, usage};
use crate::backend::{Backend, Model};
use crate::dialect::Refusal;
use crate::json::put;
use crate::mind::{Answer, End, Question, Reading};
use crate::streaming::{Gone, Pieces, events};

/// What the vendor writes where nobody says how much.
const LIMIT: u64 = 16;

#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    model: String,
    prompt: Option<Texts>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    stop: Option<Texts>,
}

pub(super) async fn completions(State(backend): State<Backend>, asked: Bytes) -> Response {
    match answer(backend, &asked).await {
        Ok(answer) => answer,
        Err(refusal) => *refusal,
    }
}

async fn answer(backend: Backend, asked: &Bytes) -> Result<Response, Refusal> {
    let ask: Ask = body(asked)?;
    let model = find(&backend, &ask.model)?;
    let prompts = ask.prompt.map_or_else(|| vec![String::new()], Texts::list);
    let stop = ask.stop.map(Texts::list).unwrap_or_default();
    let choices = prompts.into_iter().map(|prompt| {
        backend.mind.answer(&Question {
            model: &model.name,
            reading: Reading::of_text(prompt),
            limit: Some(ask.max_tokens.unwrap_or(LIMIT)),
            stop: stop.clone(),
            ..Question::default()
        })
    });
    let completion = Completion {
        id: backend.mind.id("cmpl-"),
        created: Timestamp::now().as_second(),
        choices: choices.collect(),
        include_usage: ask
            .stream_options
            .is_some_and(|options| options.include_usage),
        model,
        backend,
    };
    if ask.stream {
        return Ok(events(|pieces| completion.stream(pieces)));
    }
    Ok(completion.whole().await)
}

struct Completion {
    id: String,
    created: i64,
    choices: Vec<Answer>,
    include_usage: bool,
    model: Model,
    backend: Backend,
}

impl Completion {
    fn usage(&self) -> Value {
        let prompt = self.choices.iter().map(|choice| choice.prompt_tokens).sum();
        let written = self.choices.iter().map(Answer::written).sum();
        usage(&self.backend, prompt, 0, written, 0)
    }

    async fn whole(self) -> Response {
        self.backend.load(&self.model).await;
        let mut choices = Vec::new();
        for (index, answer) in self.choices.iter().enumerate() {
            answer.all().await;
            choices.push(choice(index, &answer.tokens.concat(), Some(answer)));
        }
        let mut whole = self.object(&choices.into());
        put(&mut whole, "usage", self.usage());
        Json(whole).into_response()
    }

    async fn stream(self, pieces: Pieces) -> Result<(), Gone> {
        self.backend.load(&self.model).await;
        for (index, answer) in self.choices.iter().enumerate() {
            answer.read().await;
            for token in &answer.tokens {
                answer.next().await;
                let choices = json!([choice(index, token, None)]);
                pieces.data(&self.chunk(&choices)).await?;
            }
            let choices = json!([choice(index, "", Some(answer))]);
            pieces.data(&self.chunk(&choices)).await?;
        }
        if self.include_usage {
            let mut last = self.object(&json!([]));
            put(&mut last, "usage", self.usage());
            pieces.data(&last).await?;
        }
        pieces.done().await
    }

    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = self.object(choices);
        if self.include_usage {
            put(&mut chunk, "usage", Value::Null);
        }
        chunk
    }

    fn object(&self, choices: &Value) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model.name,
            "choices": choices,
        })
    }
}

/// `ended`: with the reason why it did.
fn choice(index: usize, text: &str, ended: Option<&Answer>) -> Value {
    let reason = ended.map(|answer| match answer.end {
        End::Limit => "length",
        _ => "stop",
    });
    json!({ "text": text, "index": index, "logprobs": null, "finish_reason": reason })
}

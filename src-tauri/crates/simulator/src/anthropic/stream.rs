//! A message as a stream: `message_start`, each block with its deltas, `message_delta` with the end
//! and the usage, `message_stop`.

use serde_json::{Value, json};

use super::messages::{Message, SIGNATURE};
use crate::json::put;
use crate::streaming::{Gone, Pieces};

impl Message {
    pub(super) async fn stream(self, pieces: Pieces) -> Result<(), Gone> {
        self.backend.load(&self.model).await;
        let start = json!({ "type": "message_start", "message": self.begun() });
        pieces.event(&start).await?;
        self.answer.read().await;
        let mut blocks = Blocks { pieces, index: 0 };
        if !self.answer.thoughts.is_empty() {
            let block = json!({ "type": "thinking", "thinking": "", "signature": "" });
            blocks.open(&block).await?;
            blocks.ping().await?;
            for thought in &self.answer.thoughts {
                self.answer.next().await;
                let delta = json!({ "type": "thinking_delta", "thinking": thought });
                blocks.delta(&delta).await?;
            }
            let delta = json!({ "type": "signature_delta", "signature": SIGNATURE });
            blocks.delta(&delta).await?;
            blocks.close().await?;
        }
        if !self.answer.tokens.is_empty() {
            blocks.open(&json!({ "type": "text", "text": "" })).await?;
            blocks.ping().await?;
            for token in &self.answer.tokens {
                self.answer.next().await;
                let delta = json!({ "type": "text_delta", "text": token });
                blocks.delta(&delta).await?;
            }
            blocks.close().await?;
        }
        for call in &self.answer.calls {
            blocks.open(&self.tool_use(&call.name, &json!({}))).await?;
            blocks.ping().await?;
            for piece in call.pieces() {
                self.answer.next().await;
                let delta = json!({ "type": "input_json_delta", "partial_json": piece });
                blocks.delta(&delta).await?;
            }
            blocks.close().await?;
        }
        let (reason, sequence) = self.stop();
        let mut usage = self.usage(self.answer.written());
        if let Some(usage) = usage.as_object_mut() {
            // The end tells the counts again, but neither their split nor the tier.
            usage.remove("cache_creation");
            usage.remove("service_tier");
        }
        let end = json!({
            "type": "message_delta",
            "delta": { "stop_reason": reason, "stop_sequence": sequence },
            "usage": usage,
        });
        blocks.pieces.event(&end).await?;
        blocks
            .pieces
            .event(&json!({ "type": "message_stop" }))
            .await
    }
}

/// The blocks of a message, one after the other.
struct Blocks {
    pieces: Pieces,
    index: usize,
}

impl Blocks {
    async fn open(&self, block: &Value) -> Result<(), Gone> {
        self.put(json!({ "type": "content_block_start", "content_block": block }))
            .await
    }

    async fn delta(&self, delta: &Value) -> Result<(), Gone> {
        self.put(json!({ "type": "content_block_delta", "delta": delta }))
            .await
    }

    async fn close(&mut self) -> Result<(), Gone> {
        self.put(json!({ "type": "content_block_stop" })).await?;
        self.index += 1;
        Ok(())
    }

    async fn ping(&self) -> Result<(), Gone> {
        self.pieces.event(&json!({ "type": "ping" })).await
    }

    async fn put(&self, mut event: Value) -> Result<(), Gone> {
        put(&mut event, "index", json!(self.index));
        self.pieces.event(&event).await
    }
}

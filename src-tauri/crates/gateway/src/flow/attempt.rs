//! One target, asked once.

use std::sync::Arc;
use std::time::Duration;

use cockpit_metering::wire::{Reading, StreamMeter, read_answer, splice};
use cockpit_model::Timestamp;
use cockpit_model::traffic::Target;
use cockpit_resilience::retry::{self, AttemptEnd};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Head};
use super::attempts::Attempts;
use super::bodies::{Gathering, gather};
use crate::body::Sending;
use crate::flight::{Blame, Used};
use crate::force::{Provider, ProviderKey};
use crate::guard;
use crate::memory::Share;
use crate::relay::{Beginning, Relay};
use crate::upstream::{self, Asking, Coming};

/// The largest answer that is looked at as a whole before it goes on; of a larger one the rest goes
/// through unread.
const LARGEST_WHOLE: usize = 8 << 20;
/// What of an error's body is kept to be handed on.
const LARGEST_ERROR: usize = 1 << 20;

/// What came of asking one target.
pub(super) struct Attempted {
    pub(super) end: AttemptEnd,
    pub(super) code: &'static str,
    pub(super) blame: Blame,
    pub(super) used: Used,
    /// What can be handed on when nobody does better.
    pub(super) answer: Option<Answer>,
}

impl Attempts<'_> {
    /// Asks one target, which may take as long as its provider may, and no longer than until `deadline`.
    pub(super) async fn attempt(
        &self,
        target: &Target,
        provider: &Arc<Provider>,
        elsewhere: bool,
        deadline: Instant,
    ) -> Result<(Answer, Option<Reading>), Attempted> {
        let dialect = self.request.dialect;
        let deadline = deadline.min(Instant::now() + provider.spec.timeout);
        let ours = self.request.caller.key.is_some() || elsewhere || !self.meant(provider);
        let inject = self.asked.streams(dialect)
            && dialect.wants_include_usage()
            && !self.asked.include_usage;
        let body = splice::rewrite(
            self.body,
            &splice::Changes {
                model: (self.asked.model.as_deref() != Some(&target.model))
                    .then_some(&target.model),
                include_usage: inject,
                most: self
                    .most
                    .and_then(|most| guard::most::written(dialect, provider, most)),
            },
        )
        .unwrap_or_else(|_| self.body.clone());
        let path = self
            .request
            .parts
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let headers =
            upstream::headers_for(provider, &self.request.parts.headers, ours, Some(dialect));
        let asking = Asking::new(
            provider,
            &self.request.parts.method,
            path,
            headers,
            Sending::full(body),
        )
        .map_err(|_| unreachable_target())?;
        // The first byte of an answer that is not streamed comes when all of it is written.
        let first = if self.asked.streams(dialect) {
            Instant::now() + provider.spec.first_byte_timeout
        } else {
            deadline
        };
        let response =
            match timeout_at(first.min(deadline), asking.go(&self.request.shared.lanes)).await {
                Err(_) => return Err(late()),
                Ok(Err(error)) => {
                    tracing::debug!(%target, error = %chain_of(&error), "no answer");
                    return Err(unreachable_target());
                }
                Ok(Ok(response)) => response,
            };
        let (parts, incoming) = response.into_parts();
        let mut headers = parts.headers;
        upstream::strip_connection(&mut headers);
        let head = Head {
            status: parts.status,
            headers,
        };
        if !head.status.is_success() {
            let share = self.request.shared.memory.share();
            let mut refused = refused(head, incoming, deadline, share).await;
            // A key that the caller sent along says nothing of its provider: others have better ones.
            let theirs = !ours && matches!(provider.key, ProviderKey::Callers);
            if theirs && matches!(refused.code, "provider_unauthorized" | "provider_unpaid") {
                refused.blame = Blame::Other;
            }
            return Err(refused);
        }
        if head.headers.contains_key(CONTENT_ENCODING) {
            // Compressed though nobody asked for it: it goes through unread.
            let relay = Relay::new(incoming, None, provider, head.status.as_u16(), deadline);
            return Ok((Answer::stream(head, relay), None));
        }
        if is_stream(&head.headers) {
            return self
                .stream(head, incoming, provider, deadline, inject)
                .await;
        }
        self.whole(head, incoming, provider, deadline).await
    }

    /// Whether the caller meant this provider: its own key goes there, and to nobody whom we chose instead. Of a route
    /// a person says who is first; of a model's name alone it is who would be asked without us.
    fn meant(&self, provider: &Arc<Provider>) -> bool {
        let protocol = self.request.protocol;
        let usual = || {
            let usual = self.request.force.for_protocol(protocol);
            usual.is_some_and(|usual| Arc::ptr_eq(usual, provider))
        };
        let speaks_it = provider.spec.kind == protocol.home();
        self.chain.named || speaks_it && (self.chain.route.is_some() || usual())
    }

    async fn stream(
        &self,
        mut head: Head,
        incoming: Coming,
        provider: &Arc<Provider>,
        deadline: Instant,
        inject: bool,
    ) -> Result<(Answer, Option<Reading>), Attempted> {
        let mut meter = StreamMeter::new(self.request.dialect);
        if inject {
            meter = meter.dropping_usage();
            head.headers.remove(CONTENT_LENGTH);
        }
        let mut relay = Relay::new(
            incoming,
            Some(meter),
            provider,
            head.status.as_u16(),
            deadline,
        );
        let beginning = relay.begin().await;
        let answer = Answer::stream(head, relay);
        match beginning {
            Beginning::Good => Ok((answer, None)),
            Beginning::Failed => Err(Attempted {
                end: AttemptEnd::Status {
                    status: 500,
                    retry_after: None,
                },
                code: "provider_stream_error",
                blame: Blame::Target(None),
                // Handed on, it tells that itself.
                used: Used::Nothing,
                answer: Some(answer),
            }),
            Beginning::Broken => Err(Attempted {
                end: AttemptEnd::Network,
                code: "provider_stream_broken",
                blame: Blame::Target(None),
                used: Used::Nothing,
                answer: None,
            }),
            Beginning::Late => Err(late()),
        }
    }

    async fn whole(
        &self,
        mut head: Head,
        incoming: Coming,
        provider: &Arc<Provider>,
        deadline: Instant,
    ) -> Result<(Answer, Option<Reading>), Attempted> {
        let mut gathered = match gather(
            incoming,
            LARGEST_WHOLE,
            self.request.shared.memory.share(),
            deadline,
            provider.spec.idle_timeout,
        )
        .await
        {
            Ok(gathered) => gathered,
            Err(Gathering::Late) => return Err(late()),
            Err(Gathering::Broken) => {
                return Err(Attempted {
                    end: AttemptEnd::InvalidAnswer,
                    code: "provider_answer_cut",
                    blame: Blame::Target(None),
                    used: Used::Untold,
                    answer: None,
                });
            }
        };
        if let Some(rest) = gathered.rest.take() {
            // Too large to be looked at: it goes through as it comes.
            let relay = Relay::new(rest, None, provider, head.status.as_u16(), deadline)
                .after(gathered.pieces());
            return Ok((Answer::stream(head, relay), None));
        }
        let bytes = gathered.joined();
        head.headers.remove(CONTENT_LENGTH);
        let reading = read_answer(self.request.dialect, &bytes);
        let Some(code) = guard::judge_answer(
            self.request.dialect,
            &reading,
            self.asked,
            self.json.as_deref(),
            &bytes,
        ) else {
            return Ok((Answer::whole(head, bytes), Some(reading)));
        };
        Err(Attempted {
            end: AttemptEnd::InvalidAnswer,
            code,
            blame: Blame::Target(None),
            used: Used::of(reading),
            answer: Some(Answer::whole(head, bytes)),
        })
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("");
    kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
}

fn unreachable_target() -> Attempted {
    Attempted {
        end: AttemptEnd::Network,
        code: "provider_unreachable",
        blame: Blame::Target(None),
        used: Used::Nothing,
        answer: None,
    }
}

/// It may have been at work all the time.
fn late() -> Attempted {
    Attempted {
        end: AttemptEnd::Timeout,
        code: "provider_timeout",
        blame: Blame::Target(None),
        used: Used::Untold,
        answer: None,
    }
}

/// An answer that is no success.
async fn refused(mut head: Head, incoming: Coming, deadline: Instant, share: Share) -> Attempted {
    let status = head.status.as_u16();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let retry_after = retry::retry_after(
        text("retry-after-ms"),
        text("retry-after"),
        Timestamp::now(),
    );
    let (code, blame) = match status {
        401 | 403 => ("provider_unauthorized", Blame::Target(None)),
        402 => ("provider_unpaid", Blame::Target(None)),
        404 => ("caller_unknown_model", Blame::Other),
        408 => ("provider_timeout", Blame::Target(retry_after)),
        429 => ("provider_rate_limited", Blame::Target(retry_after)),
        529 => ("provider_overloaded", Blame::Target(retry_after)),
        500..=599 => ("provider_error", Blame::Target(retry_after)),
        // Its address is not what it was: the person's to mend, not the caller's.
        300..=399 => ("provider_redirected", Blame::Other),
        _ => ("caller_refused", Blame::Other),
    };
    let gathered = gather(
        incoming,
        LARGEST_ERROR,
        share,
        deadline,
        Duration::from_secs(10),
    )
    .await;
    head.headers.remove(CONTENT_LENGTH);
    let answer = match gathered {
        Ok(gathered) if gathered.rest.is_none() => Some(Answer::whole(head, gathered.joined())),
        // Its body is lost, or endless: ours says what happened.
        _ => None,
    };
    Attempted {
        end: AttemptEnd::Status {
            status,
            retry_after,
        },
        code,
        blame,
        used: Used::Nothing,
        answer,
    }
}

/// An error with what lies beneath it.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(error) = beneath {
        text.push_str(": ");
        text.push_str(&error.to_string());
        beneath = error.source();
    }
    text
}

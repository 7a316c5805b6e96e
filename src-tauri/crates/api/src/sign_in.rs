//! One-time codes by which a browser gets the bearer token.
//!
//! Whoever opens a browser for a person must name the address on the opener's command line, which
//! every user of the machine can read. So the token never stands in an address: a code does, that is
//! worth one exchange within [`LIFETIME`] and nothing afterwards. Codes are kept in memory only; at
//! most [`OUTSTANDING`] at once, the oldest giving way, so that nobody is ever refused a new one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cockpit_model::{Code, Problem, Timestamp};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// How long a code can be exchanged.
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);
/// How many codes may wait to be exchanged.
const OUTSTANDING: usize = 16;
/// Random bytes of a code, before they are written in hexadecimal.
const CODE_BYTES: usize = 16;

/// A code as its maker is told of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInCode {
    /// 32 hexadecimal digits.
    pub code: String,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

impl fmt::Debug for SignInCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInCode")
            .field("code", &"(secret)")
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// The token, and the codes that can be exchanged for it.
pub struct SignIn {
    token: String,
    codes: Mutex<Codes>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIn")
    }
}

impl SignIn {
    /// Hands out this token; an empty one is handed to nobody.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            codes: Mutex::default(),
        }
    }

    /// A new code.
    pub(crate) fn issue(&self) -> SignInCode {
        let mut bytes = [0_u8; CODE_BYTES];
        rand::rng().fill(&mut bytes);
        let code: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expires_at = self.codes().add(code.clone(), Moment::now());
        SignInCode { code, expires_at }
    }

    /// The token, once for each code.
    ///
    /// # Errors
    /// [`Code::SignInRefused`] for a code that is wrong, used or too old: which of them is not told.
    pub(crate) fn exchange(&self, code: &str) -> Result<String, Problem> {
        let good = self.codes().take(code, Moment::now());
        if good && !self.token.is_empty() {
            return Ok(self.token.clone());
        }
        tracing::warn!("a sign-in link was refused: used before, or too old");
        Err(Problem::new(
            Code::SignInRefused,
            "this sign-in link was used before, or is too old",
        )
        .detail(format!(
            "a link signs in one browser, once, within {} minutes",
            LIFETIME.as_secs() / 60
        ))
        .remedy("make a new one with `studio-cockpit open`"))
    }

    fn codes(&self) -> MutexGuard<'_, Codes> {
        // Each change is one move of the queue, so it is whole even after a panic elsewhere.
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both clocks: one stands still while the machine sleeps, the other can be set back.
#[derive(Debug, Clone, Copy)]
struct Moment {
    steady: Instant,
    wall: Timestamp,
}

impl Moment {
    fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: Timestamp::now(),
        }
    }
}

/// The codes that wait to be exchanged, oldest first.
#[derive(Default)]
struct Codes(VecDeque<Waiting>);

struct Waiting {
    code: String,
    made: Instant,
    expires_at: Timestamp,
}

impl Waiting {
    fn lives(&self, now: Moment) -> bool {
        now.steady.saturating_duration_since(self.made) < LIFETIME && now.wall < self.expires_at
    }
}

impl Codes {
    fn add(&mut self, code: String, now: Moment) -> Timestamp {
        self.0.retain(|waiting| waiting.lives(now));
        while self.0.len() >= OUTSTANDING {
            self.0.pop_front();
        }
        let expires_at = now.wall + LIFETIME;
        self.0.push_back(Waiting {
            code,
            made: now.steady,
            expires_at,
        });
        expires_at
    }

    /// Whether it is one of ours; it no longer is afterwards.
    fn take(&mut self, code: &str, now: Moment) -> bool {
        self.0.retain(|waiting| waiting.lives(now));
        // Each is compared whole, so that the time taken tells nothing of how much was right.
        let mut found = None;
        for (at, waiting) in self.0.iter().enumerate() {
            if bool::from(waiting.code.as_bytes().ct_eq(code.as_bytes())) {
                found = Some(at);
            }
        }
        found.is_some_and(|at| self.0.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn later(now: Moment, by: Duration) -> Moment {
        Moment {
            steady: now.steady + by,
            wall: now.wall + by,
        }
    }

    #[test]
    fn a_code_is_worth_one_token() {
        let desk = SignIn::new("t0ken");
        let (one, other) = (desk.issue(), desk.issue());
        assert_ne!(one.code, other.code);
        assert_eq!(one.code.len(), 2 * CODE_BYTES);
        assert_eq!(desk.exchange(&one.code).unwrap(), "t0ken");
        assert_eq!(
            desk.exchange(&one.code).unwrap_err().code,
            Code::SignInRefused
        );
        assert_eq!(desk.exchange(&other.code).unwrap(), "t0ken");
    }

    #[test]
    fn what_is_no_code_of_ours_is_refused_and_costs_none() {
        let desk = SignIn::new("t0ken");
        let code = desk.issue().code;
        for wrong in [
            "",
            "0",
            &code[1..],
            &code.to_uppercase().replace('0', "1"),
            &"0".repeat(32),
        ] {
            assert!(desk.exchange(wrong).is_err(), "{wrong}");
        }
        assert!(desk.exchange(&code).is_ok());
        let closed = SignIn::new("");
        assert!(closed.exchange(&closed.issue().code).is_err());
    }

    #[test]
    fn it_lives_for_five_minutes_by_either_clock() {
        let now = Moment::now();
        let almost = LIFETIME.checked_sub(Duration::from_millis(1)).unwrap();
        let after = |moment: Moment| {
            let mut codes = Codes::default();
            assert_eq!(codes.add("c".into(), now), now.wall + LIFETIME);
            codes.take("c", moment)
        };
        assert!(after(later(now, almost)));
        assert!(!after(later(now, LIFETIME)));
        // Asleep, only the wall clock went on; set back, only the steady one did.
        let asleep = Moment {
            wall: now.wall + LIFETIME,
            ..now
        };
        let set_back = Moment {
            steady: now.steady + LIFETIME,
            ..now
        };
        assert!(!after(asleep));
        assert!(!after(set_back));
    }

    #[test]
    fn the_oldest_gives_way() {
        let desk = SignIn::new("t0ken");
        let all: Vec<_> = (0..=OUTSTANDING).map(|_| desk.issue().code).collect();
        assert_eq!(desk.codes().0.len(), OUTSTANDING);
        assert!(desk.exchange(&all[0]).is_err());
        assert!(all[1..].iter().all(|code| desk.exchange(code).is_ok()));
        assert!(desk.codes().0.is_empty());
    }

    #[test]
    fn neither_token_nor_code_is_in_a_debug_text() {
        let desk = SignIn::new("t0ken");
        let code = desk.issue();
        assert!(!format!("{desk:?} {code:?}").contains(&code.code));
        assert!(!format!("{desk:?}").contains("t0ken"));
    }
}

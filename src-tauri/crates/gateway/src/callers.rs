//! Who asks, by each name that limits are given to.

use cockpit_model::traffic::{CommonLimits, KeySpec, Limits};
use hyper::header::{HeaderMap, HeaderName};

use crate::spend::Who;

/// The longest name of a user or an agent, in bytes: as long as it is written down, so that what was spent
/// under it is found again.
const LONGEST: usize = 256;

/// A name as it is kept: callers choose them.
pub(crate) fn short(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    text.get(..end).unwrap_or_default().to_owned()
}

pub(crate) const USER: HeaderName = HeaderName::from_static("x-cockpit-user");
pub(crate) const AGENT: HeaderName = HeaderName::from_static("x-cockpit-agent");
pub(crate) const TAGS: HeaderName = HeaderName::from_static("x-cockpit-tags");

/// What one of our headers says of whoever asks.
pub(crate) fn told(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| short(value))
}

/// The key, the user and the agent of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callers<'a> {
    pub(crate) key: Option<&'a KeySpec>,
    pub(crate) user: Option<&'a str>,
    pub(crate) agent: Option<&'a str>,
    /// What each user may use, and each agent.
    pub(crate) common: &'a CommonLimits,
}

/// One of them, and what it may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limited<'a> {
    sort: fn(String) -> Who,
    name: &'a str,
    pub(crate) limits: &'a Limits,
}

impl Limited<'_> {
    pub(crate) fn who(&self) -> Who {
        (self.sort)(self.name.to_owned())
    }
}

impl<'a> Callers<'a> {
    /// Everybody whose limits the request has to keep to: all of them, so the strictest holds.
    pub(crate) fn limits(self) -> impl Iterator<Item = Limited<'a>> {
        let key = self.key.map(|key| Limited {
            sort: Who::Key,
            name: &key.name,
            limits: &key.limits,
        });
        let named = |name: &&str| !name.is_empty();
        let user = self.user.filter(named).map(|name| Limited {
            sort: Who::User,
            name,
            limits: &self.common.user,
        });
        let agent = self.agent.filter(named).map(|name| Limited {
            sort: Who::Agent,
            name,
            limits: &self.common.agent,
        });
        [key, user, agent].into_iter().flatten()
    }
}

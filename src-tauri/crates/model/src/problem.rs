//! Errors as a person and a program meet them: what happened, to what, what to do next, and a code
//! that never changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The closed set of stable error codes. A UI or a script matches on these, never on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// The request lacks the bearer token, or it is wrong.
    Unauthorized,
    /// The one-time code of a sign-in link is wrong, used or too old.
    SignInRefused,
    /// The Host or Origin header is not one this cockpit answers to.
    ForbiddenHost,
    /// The Origin header is foreign.
    ForbiddenOrigin,
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request could not be understood.
    BadRequest,
    /// The body is larger than this endpoint takes.
    TooLarge,
    /// No service has that name.
    UnknownService,
    /// No key has that name.
    UnknownKey,
    /// A key has that name already.
    KeyExists,
    /// The configuration does not hold; nothing was started or touched.
    ConfigInvalid,
    /// Another action on this service is under way.
    Busy,
    /// The service could not be brought to the wanted state.
    ActionFailed,
    /// The action makes no sense for this kind of service (starting a watched URL, say).
    NotSupported,
    /// The process belongs to somebody else and is not touched unasked.
    NotOurs,
    /// The port is held by another process.
    PortConflict,
    /// The command is not on this machine.
    CommandMissing,
    /// Docker does not answer.
    DockerNotRunning,
    /// A database or file could not be read or written.
    Storage,
    /// No cockpit is running on this data folder.
    NotRunning,
    /// Another cockpit already runs on this data folder.
    AlreadyRunning,
    /// A defect of the cockpit itself.
    Internal,
}

impl Code {
    /// The HTTP status this code is answered with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Unauthorized | Self::SignInRefused => 401,
            Self::ForbiddenHost | Self::ForbiddenOrigin => 403,
            Self::NotFound | Self::UnknownService | Self::UnknownKey => 404,
            Self::MethodNotAllowed => 405,
            Self::BadRequest => 400,
            Self::TooLarge => 413,
            Self::ConfigInvalid => 422,
            Self::Busy
            | Self::KeyExists
            | Self::NotSupported
            | Self::NotOurs
            | Self::PortConflict
            | Self::AlreadyRunning => 409,
            Self::ActionFailed | Self::CommandMissing | Self::DockerNotRunning => 502,
            Self::NotRunning => 503,
            Self::Storage | Self::Internal => 500,
        }
    }

    /// The code as it is written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::SignInRefused => "sign_in_refused",
            Self::ForbiddenHost => "forbidden_host",
            Self::ForbiddenOrigin => "forbidden_origin",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::UnknownService => "unknown_service",
            Self::UnknownKey => "unknown_key",
            Self::KeyExists => "key_exists",
            Self::ConfigInvalid => "config_invalid",
            Self::Busy => "busy",
            Self::ActionFailed => "action_failed",
            Self::NotSupported => "not_supported",
            Self::NotOurs => "not_ours",
            Self::PortConflict => "port_conflict",
            Self::CommandMissing => "command_missing",
            Self::DockerNotRunning => "docker_not_running",
            Self::Storage => "storage",
            Self::NotRunning => "not_running",
            Self::AlreadyRunning => "already_running",
            Self::Internal => "internal",
        }
    }
}

/// An error in the shape of RFC 9457 (`application/problem+json`) with our `code` and `remedy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// What happened, to what. One sentence, lower case, no full stop.
    pub title: String,
    /// More of it: the offending text, the underlying error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Problem {
    /// A problem with its one sentence.
    pub fn new(code: Code, title: impl Into<String>) -> Self {
        Self {
            code,
            title: title.into(),
            detail: None,
            remedy: None,
        }
    }

    /// Adds what lies beneath.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

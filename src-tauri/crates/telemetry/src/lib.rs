//! The event bus: a closed set of events, a ring in memory, subscriptions that resume.

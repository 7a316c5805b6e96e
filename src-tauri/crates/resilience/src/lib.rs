//! Pure state machines of failure: backoff and crash-loop detection. Time is passed in.

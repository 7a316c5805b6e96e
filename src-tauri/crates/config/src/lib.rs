//! cockpit.toml: parse, validate, complete with each kind's defaults, diff for reload.

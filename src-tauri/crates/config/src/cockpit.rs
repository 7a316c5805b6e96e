//! `[cockpit]`: the cockpit's own settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::fields::{At, Fields};
use crate::{CockpitConfig, LogLevel, address};

/// Where the API and the UI listen unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4700);

const KEYS: &[&str] = &[
    "listen",
    "allow_remote",
    "allowed_hosts",
    "keep_awake",
    "login_shell_env",
    "log_level",
];

const LEVELS: &[(&str, LogLevel)] = &[
    ("info", LogLevel::Info),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

impl Default for CockpitConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            allow_remote: false,
            allowed_hosts: Vec::new(),
            keep_awake: false,
            login_shell_env: cfg!(target_os = "macos"),
            log_level: LogLevel::Info,
        }
    }
}

/// The settings, placed at their `listen`.
pub(crate) fn read(root: &Fields<'_, '_>) -> At<CockpitConfig> {
    let defaults = CockpitConfig::default();
    let Some(fields) = root.section("cockpit", KEYS, "[cockpit]") else {
        return At {
            value: defaults,
            span: 0..0,
        };
    };
    let allow_remote = fields.boolean("allow_remote").unwrap_or(false);
    let listen = address::bound(&fields, LISTEN, allow_remote);
    At {
        // Nowhere, if the address is the default: who collides with it is told "by default".
        span: if fields.get("listen").is_some() {
            listen.span
        } else {
            0..0
        },
        value: CockpitConfig {
            listen: listen.value,
            allow_remote,
            allowed_hosts: address::hosts(&fields, "allowed_hosts"),
            keep_awake: fields.boolean("keep_awake").unwrap_or(defaults.keep_awake),
            login_shell_env: fields
                .boolean("login_shell_env")
                .unwrap_or(defaults.login_shell_env),
            log_level: fields
                .choice("log_level", LEVELS)
                .unwrap_or(defaults.log_level),
        },
    }
}

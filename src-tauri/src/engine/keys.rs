//! Keys of the gateway: made, removed and listed, and how they are used.
//!
//! Only the SHA-256 of a key is kept (`state.db`); the gateway takes up every change at once. A key of the
//! configuration that names no place for its secret takes the one made here under its name.

use std::sync::Arc;
use std::time::Duration;

use cockpit_gateway::{Gateway, KeyHash};
use cockpit_model::keys::{KeyMade, KeyView, KeyWish, NewKey, RemovedKey};
use cockpit_model::traffic::{KeySpec, Limits};
use cockpit_model::{Code, Problem, Timestamp, Usd};
use cockpit_store::{Error, KeyUse, StateDb, StoredKey};
use tokio_util::sync::CancellationToken;

use super::{Engine, whole};

/// How often it is written down how keys are used.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Keys that may be made here.
const MOST: usize = 1000;
/// The longest list of models of a key.
const MOST_MODELS: usize = 1000;

fn storage(error: &Error) -> Problem {
    Problem::new(Code::Storage, "the keys cannot be read or written")
        .detail(error.to_string())
        .remedy("see to the disk and to state.db in the data folder, then try again")
}

/// Runs what reads the disk on a thread that may block.
async fn on_disk<T: Send + 'static>(
    state: &Arc<StateDb>,
    work: impl FnOnce(&StateDb) -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    let state = Arc::clone(state);
    let done = tokio::task::spawn_blocking(move || work(&state)).await;
    done.map_err(|error| {
        Problem::new(Code::Internal, "a task of the engine failed").detail(error.to_string())
    })?
    .map_err(|error| storage(&error))
}

/// The keys that were made here, for the gateway.
pub(super) async fn made(state: &Arc<StateDb>) -> Result<Vec<(KeySpec, KeyHash)>, Problem> {
    let stored = on_disk(state, StateDb::keys).await?;
    Ok(stored.iter().map(spec).collect())
}

fn spec(key: &StoredKey) -> (KeySpec, KeyHash) {
    let spec = KeySpec {
        name: key.name.clone(),
        secret: None,
        limits: limits(key),
    };
    (spec, key.hash)
}

fn limits(key: &StoredKey) -> Limits {
    serde_json::from_str(&key.limits).unwrap_or_else(|error| {
        tracing::error!(key = key.name, %error, "the limits of a key cannot be read: it may ask for nothing");
        Limits {
            models: Some(Vec::new()),
            ..Limits::default()
        }
    })
}

/// How keys were used before this start, for the gateway.
pub(super) async fn uses(state: &Arc<StateDb>) -> Vec<cockpit_gateway::KeyUse> {
    let uses = on_disk(state, StateDb::key_uses).await;
    let uses = uses.unwrap_or_else(|problem| {
        tracing::warn!(%problem, "the past of the keys is learnt anew");
        Vec::new()
    });
    let for_gateway = |one: KeyUse| cockpit_gateway::KeyUse {
        name: one.name,
        last_used_at: one.last_used_at,
        profile: one.profile,
    };
    uses.into_iter().map(for_gateway).collect()
}

/// Writes down from time to time how keys are used, until told to stop.
pub(super) async fn watch(engine: Arc<Engine>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(WRITE_EVERY) => {}
            () = stopping.cancelled() => return,
        }
        let gateway = whole(&engine.gateway).clone();
        if let Some(gateway) = gateway {
            write_uses(&engine.state, &gateway).await;
        }
    }
}

/// Writes down how keys are used.
pub(super) async fn write_uses(state: &Arc<StateDb>, gateway: &Gateway) {
    let changed = gateway.key_uses();
    if changed.is_empty() {
        return;
    }
    let uses: Vec<KeyUse> = changed
        .iter()
        .map(|one| KeyUse {
            name: one.name.clone(),
            last_used_at: one.last_used_at,
            profile: one.profile.clone(),
        })
        .collect();
    if let Err(problem) = on_disk(state, move |state| state.set_key_uses(&uses)).await {
        tracing::warn!(%problem, "how keys are used could not be written down; it is tried again");
        gateway.key_uses_not_written(&changed);
    }
}

fn written(engine: &Engine) -> Vec<KeySpec> {
    let config = engine.settings().clone();
    let traffic = config.and_then(|config| config.traffic.clone());
    traffic.map(|traffic| traffic.keys).unwrap_or_default()
}

/// Every key, those of the configuration first.
pub(super) async fn list(engine: &Engine) -> Result<Vec<KeyView>, Problem> {
    let (stored, uses) = on_disk(&engine.state, |state| {
        Ok((state.keys()?, state.key_uses()?))
    })
    .await?;
    let live = whole(&engine.gateway).clone();
    let live = live
        .map(|gateway| gateway.keys_last_used())
        .unwrap_or_default();
    let last_used = |name: &str| {
        let remembered = uses.iter().find(|one| one.name == name);
        let remembered = remembered.map(|one| one.last_used_at);
        live.get(name).copied().max(remembered)
    };
    let written = written(engine);
    let mut keys: Vec<KeyView> = written
        .iter()
        .map(|key| {
            let stored = stored.iter().find(|one| one.name == key.name);
            let stored = stored.filter(|_| key.secret.is_none());
            let made = match (&key.secret, stored) {
                (Some(_), _) => KeyMade::Elsewhere,
                (None, Some(_)) => KeyMade::Here,
                (None, None) => KeyMade::Nowhere,
            };
            view(&key.name, made, true, stored, key.limits.clone())
        })
        .collect();
    keys.extend(
        stored
            .iter()
            .filter(|key| !written.iter().any(|one| one.name == key.name))
            .map(|key| view(&key.name, KeyMade::Here, false, Some(key), limits(key))),
    );
    for key in &mut keys {
        key.last_used_at = last_used(&key.name);
    }
    Ok(keys)
}

fn view(
    name: &str,
    made: KeyMade,
    in_config: bool,
    stored: Option<&StoredKey>,
    limits: Limits,
) -> KeyView {
    KeyView {
        name: name.to_owned(),
        made,
        in_config,
        begins: stored.map(|key| key.hint.clone()),
        created_at: stored.map(|key| key.created_at),
        last_used_at: None,
        limits,
    }
}

/// Makes a key.
pub(super) async fn add(engine: &Engine, wish: KeyWish) -> Result<NewKey, Problem> {
    let KeyWish { name, limits } = wish;
    if let Err(why) = cockpit_config::check_name(&name) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("no key can have this name: it {why}"),
        )
        .remedy("take up to 64 letters, digits, `-`, `_` and `.`, as in `app`"));
    }
    judge(&limits)?;
    let in_file = written(engine);
    let is_first = in_file.is_empty() && made(&engine.state).await?.is_empty();
    let written = in_file.into_iter().find(|key| key.name == name);
    if let Some(place) = written.as_ref().and_then(|key| key.secret.as_ref()) {
        return Err(Problem::new(
            Code::KeyExists,
            format!("the configuration says where the key `{name}` is: {place}"),
        )
        .remedy(format!(
            "take `secret` out of [keys.{name}] first, or give the new key another name"
        )));
    }
    let secret = cockpit_gateway::new_key();
    let stored = StoredKey {
        name: name.clone(),
        hash: cockpit_gateway::hash(&secret),
        hint: cockpit_gateway::key_beginning(&secret).to_owned(),
        limits: serde_json::to_string(&limits).map_err(|error| {
            Problem::new(Code::Internal, "the limits cannot be written down")
                .detail(error.to_string())
        })?,
        created_at: Timestamp::now(),
    };
    let kept = stored.clone();
    let added = on_disk(&engine.state, move |state| {
        if state.keys()?.len() >= MOST {
            return Ok(None);
        }
        state.add_key(&kept).map(Some)
    })
    .await?;
    match added {
        Some(true) => {}
        Some(false) => {
            return Err(
                Problem::new(Code::KeyExists, format!("there is a key `{name}` already")).remedy(
                    format!(
                        "remove it with `studio-cockpit key remove {name}`, or take another name"
                    ),
                ),
            );
        }
        None => {
            return Err(Problem::new(
                Code::NotSupported,
                format!("there are {MOST} keys, and no more are kept"),
            )
            .remedy("remove those that are not used"));
        }
    }
    take_up(engine).await?;
    tracing::info!(key = name, "a key was made");
    let note = match (&written, whole(&engine.gateway).is_some()) {
        (_, false) => Some(
            "the gateway is closed: it opens where cockpit.toml has a section [gateway]".to_owned(),
        ),
        (Some(key), true) if key.limits != limits && limits != Limits::default() => Some(format!(
            "what it may use is written under [keys.{name}] in cockpit.toml, and that counts"
        )),
        _ if is_first => Some(
            "it is the first key: from now on whoever asks the gateway needs one, also programs that did without"
                .to_owned(),
        ),
        _ => None,
    };
    let in_config = written.is_some();
    let limits = written.map_or(limits, |key| key.limits);
    Ok(NewKey {
        secret,
        key: view(&name, KeyMade::Here, in_config, Some(&stored), limits),
        note,
    })
}

/// The same bounds as those of the configuration.
fn judge(limits: &Limits) -> Result<(), Problem> {
    let none = |what: &str| {
        Problem::new(
            Code::BadRequest,
            format!("`{what}` must be more than nothing"),
        )
        .remedy(format!("leave `{what}` out to limit it not at all"))
    };
    for (what, count) in [
        ("requests_per_minute", limits.requests_per_minute),
        ("tokens_per_minute", limits.tokens_per_minute),
    ] {
        if count == Some(0) {
            return Err(none(what));
        }
    }
    if limits.max_tokens == Some(0) {
        return Err(none("max_tokens"));
    }
    for (what, usd) in [
        ("usd_per_day", limits.usd_per_day),
        ("usd_per_month", limits.usd_per_month),
    ] {
        if usd.is_some_and(|usd| usd < Usd::ZERO) {
            return Err(none(what));
        }
    }
    let models = limits.models.as_deref().unwrap_or_default();
    let strange = models
        .iter()
        .any(|model| model.is_empty() || model.len() > 512);
    if limits.models.as_ref().is_some_and(Vec::is_empty) || models.len() > MOST_MODELS || strange {
        return Err(
            Problem::new(Code::BadRequest, "`models` names no models, or too many")
                .remedy("name routes, models or provider/models, or leave it out to allow all"),
        );
    }
    Ok(())
}

/// Removes a key that was made here.
pub(super) async fn remove(engine: &Engine, name: String) -> Result<RemovedKey, Problem> {
    let asked = name.clone();
    let removed = on_disk(&engine.state, move |state| state.remove_key(&asked)).await?;
    let written = written(engine);
    let in_config = written.iter().find(|key| key.name == name);
    if !removed {
        return Err(match in_config {
            Some(_) => Problem::new(
                Code::NotSupported,
                format!("the key `{name}` was not made here: it stands in cockpit.toml"),
            )
            .remedy(format!("take [keys.{name}] out of the file")),
            None => Problem::new(Code::UnknownKey, format!("there is no key `{name}`"))
                .remedy("see `studio-cockpit key list` for their names"),
        });
    }
    take_up(engine).await?;
    tracing::info!(key = name, "a key was removed");
    let note = match in_config {
        Some(key) if key.secret.is_some() => Some(format!(
            "[keys.{name}] still stands in cockpit.toml with a secret of its own, which goes on to work"
        )),
        Some(_) => Some(format!(
            "[keys.{name}] still stands in cockpit.toml: nobody can use it until a key is made for it again"
        )),
        None if written.is_empty() && made(&engine.state).await?.is_empty() => Some(
            "no key is left: whoever is on this machine may ask the gateway without one".to_owned(),
        ),
        None => None,
    };
    Ok(RemovedKey {
        removed: name,
        note,
    })
}

/// Has the gateway take up the keys there are.
async fn take_up(engine: &Engine) -> Result<(), Problem> {
    // A gateway that is being opened reads them too: whoever comes second has them all.
    let open = engine.traffic.lock().await;
    if let Some(open) = &*open {
        let made = made(&engine.state).await?;
        open.gateway.set_keys(made).await;
    }
    Ok(())
}

//! `key add`, `key list`, `key remove`: who may ask the gateway.

use std::io::{self, Write};

use cockpit_model::keys::{KeyMade, KeyView, KeyWish, NewKey, RemovedKey};
use cockpit_model::traffic::Limits;
use cockpit_model::{Code, Problem, Timestamp, Usd};

use crate::cli::args::{KeyLimits, Reading};
use crate::cli::client::{accepted, encode, understood};
use crate::cli::failure::Done;
use crate::cli::style::{self, Cell, Style, Tone};

pub(in crate::cli) async fn add(reading: &Reading, name: &str, limits: &KeyLimits) -> Done {
    let client = reading.common.client()?;
    let wish = KeyWish {
        name: name.to_owned(),
        limits: wanted(limits)?,
    };
    let made: NewKey = client.post("/api/keys", &wish).await?;
    let mut out = io::stdout().lock();
    if reading.json {
        serde_json::to_writer(&mut out, &made).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    // The key alone on standard output, so that it can be taken from there.
    writeln!(out, "{}", made.secret)?;
    let mut beside = io::stderr().lock();
    writeln!(
        beside,
        "This is the key `{name}`. It is shown only now: keep it where its user finds it."
    )?;
    note(&mut beside, made.note.as_deref())?;
    Ok(())
}

fn wanted(limits: &KeyLimits) -> Result<Limits, Problem> {
    let dollars = |flag: &str, amount: Option<f64>| match amount {
        None => Ok(None),
        Some(amount) => Usd::from_dollars(amount)
            .filter(|usd| *usd >= Usd::ZERO)
            .map(Some)
            .ok_or_else(|| {
                Problem::new(Code::BadRequest, format!("--{flag} {amount} is no amount"))
                    .remedy(format!("write dollars, as in --{flag} 5"))
            }),
    };
    Ok(Limits {
        requests_per_minute: limits.requests_per_minute,
        tokens_per_minute: limits.tokens_per_minute,
        usd_per_day: dollars("usd-per-day", limits.usd_per_day)?,
        usd_per_month: dollars("usd-per-month", limits.usd_per_month)?,
        models: (!limits.models.is_empty()).then(|| limits.models.clone()),
        max_tokens: limits.max_tokens,
    })
}

fn note(out: &mut impl Write, note: Option<&str>) -> io::Result<()> {
    note.map_or(Ok(()), |note| writeln!(out, "note: {note}"))
}

pub(in crate::cli) async fn list(reading: &Reading) -> Done {
    let client = reading.common.client()?;
    let mut out = io::stdout().lock();
    if reading.json {
        let answer = client.get_bytes("/api/keys").await?;
        out.write_all(&answer)?;
        writeln!(out)?;
        return Ok(());
    }
    let keys: Vec<KeyView> = client.get("/api/keys").await?;
    if keys.is_empty() {
        writeln!(
            out,
            "No keys: whoever is on this machine may ask the gateway. `studio-cockpit key add NAME` makes one."
        )?;
        return Ok(());
    }
    let style = Style::of(&io::stdout());
    style::table(&mut out, style, &rows(&keys, Timestamp::now()))?;
    Ok(())
}

pub(in crate::cli) async fn remove(reading: &Reading, name: &str) -> Done {
    let client = reading.common.client()?;
    let path = format!("/api/keys/{}", encode(name));
    let (status, body) = client.request("DELETE", &path, None).await?;
    let removed: RemovedKey = understood(&accepted(status, body)?)?;
    let mut out = io::stdout().lock();
    if reading.json {
        serde_json::to_writer(&mut out, &removed).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(
        out,
        "The key `{name}` is removed: it opens nothing any more."
    )?;
    note(&mut io::stderr().lock(), removed.note.as_deref())?;
    Ok(())
}

fn rows(keys: &[KeyView], now: Timestamp) -> Vec<Vec<Cell>> {
    let heads = ["NAME", "KEY", "MADE", "LAST USED", "MAY USE"];
    let faint = |text: &str| (text.to_owned(), Tone::Faint);
    let plain = |text: String| (text, Tone::Plain);
    let ago = |at: Option<Timestamp>, never: &str| {
        at.map_or_else(
            || never.to_owned(),
            |at| format!("{} ago", style::span(at, now)),
        )
    };
    let mut rows = vec![heads.map(faint).to_vec()];
    for key in keys {
        let of = match (key.made, &key.begins) {
            (KeyMade::Here, Some(begins)) => plain(format!("{begins}…")),
            (KeyMade::Here, None) => plain(String::new()),
            (KeyMade::Elsewhere, _) => plain("as cockpit.toml says".to_owned()),
            (KeyMade::Nowhere, _) => (
                format!("none: `studio-cockpit key add {}`", key.name),
                Tone::Bad,
            ),
        };
        rows.push(vec![
            plain(key.name.clone()),
            of,
            plain(ago(key.created_at, "")),
            plain(ago(key.last_used_at, "never")),
            plain(limits(&key.limits)),
        ]);
    }
    rows
}

fn limits(limits: &Limits) -> String {
    let mut parts = Vec::new();
    let mut add = |text: Option<String>| parts.extend(text);
    add(limits
        .requests_per_minute
        .map(|n| format!("{n} requests/min")));
    add(limits.tokens_per_minute.map(|n| format!("{n} tokens/min")));
    add(limits
        .usd_per_day
        .map(|usd| format!("${:.2}/day", usd.dollars())));
    add(limits
        .usd_per_month
        .map(|usd| format!("${:.2}/month", usd.dollars())));
    add(limits
        .max_tokens
        .map(|n| format!("answers up to {n} tokens")));
    add(limits
        .models
        .as_ref()
        .map(|models| style::printable(&models.join(", "), Style::PLAIN)));
    if parts.is_empty() {
        return "everything".to_owned();
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_may_use_is_told_in_one_line() {
        assert_eq!(limits(&Limits::default()), "everything");
        let some = Limits {
            requests_per_minute: Some(60),
            usd_per_day: Usd::from_dollars(5.0),
            models: Some(vec!["chat".to_owned(), "ollama/llama3.2".to_owned()]),
            ..Limits::default()
        };
        assert_eq!(
            limits(&some),
            "60 requests/min, $5.00/day, chat, ollama/llama3.2"
        );
    }

    #[test]
    fn a_key_that_nobody_can_use_says_how_to_make_it() {
        let key = KeyView {
            name: "app".to_owned(),
            made: KeyMade::Nowhere,
            in_config: true,
            begins: None,
            created_at: None,
            last_used_at: None,
            limits: Limits::default(),
        };
        let rows = rows(&[key], Timestamp::UNIX_EPOCH);
        let line: Vec<&str> = rows
            .iter()
            .flatten()
            .map(|(text, _)| text.as_str())
            .collect();
        assert!(
            line.contains(&"none: `studio-cockpit key add app`"),
            "{line:?}"
        );
        assert!(line.contains(&"never"));
    }
}

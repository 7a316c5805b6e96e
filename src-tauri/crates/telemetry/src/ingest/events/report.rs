//! What else is reported as an event: tasks, feedback, activity, authentications, findings, deployments, anything.

use cockpit_model::{Report, ReportKind, Timestamp};

use super::item::{Item, Written};
use super::value::{Maybe, Told, flag, name, number, text, wrong};

/// Reads one. `json` is the event as it was written.
///
/// # Errors
/// The reason, with what to write instead.
pub(super) fn read(
    item: Item<'_>,
    json: &str,
    kind: ReportKind,
    id: String,
    at: Timestamp,
) -> Result<Report, String> {
    let user = name("user", item.user)?;
    let agent = name("agent", item.agent)?;
    let key = name("key", item.key)?;
    let mut ok = None;
    let mut score = None;
    // Fields that are taken up; all others stay in the body as they are.
    let mut taken = vec![
        "id",
        "type",
        "at",
        "time",
        "timestamp",
        "user",
        "agent",
        "key",
    ];
    match kind {
        ReportKind::Task => {
            ok = flag("ok", item.ok)?
                .or(flag("completed", item.completed)?)
                .or(flag("success", item.success)?)
                .or(flag("outcome", item.outcome)?);
            if ok.is_none() {
                return Err(
                    "ok is missing: write true if the task was completed, else false".to_owned(),
                );
            }
            taken.extend(["ok", "completed", "success", "outcome"]);
        }
        ReportKind::Auth => {
            ok = flag("ok", item.ok)?
                .or(flag("success", item.success)?)
                .or(flag("outcome", item.outcome)?);
            if ok.is_none() {
                return Err(
                    "ok is missing: write true if the authentication succeeded, else false"
                        .to_owned(),
                );
            }
            taken.extend(["ok", "success", "outcome"]);
        }
        ReportKind::Feedback => {
            score = Some(satisfaction(item.score, item.rating, item.thumb)?);
            taken.extend(["score", "rating", "thumb"]);
        }
        ReportKind::Activity => {
            if user.is_none() {
                return Err("user is missing: write who was active".to_owned());
            }
        }
        ReportKind::Deploy => {
            // Only that they are texts: they are shown, and stay in the body.
            text("version", item.version)?;
            text("service", item.service)?;
        }
        ReportKind::Pii | ReportKind::Policy | ReportKind::Custom => {}
    }
    Ok(Report {
        id,
        kind,
        at,
        user,
        agent,
        key,
        ok,
        score,
        body: body(json, &taken),
    })
}

/// How satisfied, from 0 to 1: by a score, by stars from 1 to 5, by a thumb.
fn satisfaction(score: Maybe<'_>, rating: Maybe<'_>, thumb: Maybe<'_>) -> Result<f64, String> {
    if let Some(score) = number("score", score, "0.8")? {
        if (0.0..=1.0).contains(&score) {
            return Ok(score);
        }
        return Err(format!(
            "score is {score}: write a number from 0 (not at all) to 1 (fully satisfied), or rating from 1 to 5"
        ));
    }
    if let Some(rating) = number("rating", rating, "4")? {
        if (1.0..=5.0).contains(&rating) {
            return Ok((rating - 1.0) / 4.0);
        }
        return Err(format!(
            "rating is {rating}: write a number from 1 to 5, or score from 0 to 1"
        ));
    }
    match &thumb {
        Some(told @ Told::Text(text)) => match text.trim() {
            "up" => Ok(1.0),
            "down" => Ok(0.0),
            _ => Err(wrong("thumb", told, "\"up\" or \"down\"")),
        },
        Some(told) if *told != Told::Null => Err(wrong("thumb", told, "\"up\" or \"down\"")),
        _ => Err(
            "score is missing: write score from 0 to 1, rating from 1 to 5, or thumb \"up\" or \"down\"".to_owned(),
        ),
    }
}

/// The object without what was taken up.
fn body(json: &str, taken: &[&str]) -> String {
    let Ok(Written(fields)) = serde_json::from_str(json) else {
        return "{}".to_owned();
    };
    let mut body = String::with_capacity(json.len());
    body.push('{');
    for (name, value) in fields {
        if taken.contains(&&*name) || value.get() == "null" {
            continue;
        }
        if body.len() > 1 {
            body.push(',');
        }
        // A text is always written.
        body.push_str(&serde_json::to_string(&name).unwrap_or_default());
        body.push(':');
        body.push_str(value.get());
    }
    body.push('}');
    body
}

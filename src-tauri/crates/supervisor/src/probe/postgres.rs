//! `postgres`: `SELECT 1` is answered, on a connection of its own: one that was kept would not notice a server that
//! takes no new ones.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;

use tokio_postgres::{Config, NoTls};

use super::tcp::refusal;
use super::without_secrets;

/// The password comes from the URL or from the service's `PGPASSWORD`.
pub(super) async fn select(url: &str, env: &BTreeMap<String, String>) -> Result<(), String> {
    let shown = without_secrets(url);
    let mut config: Config = url
        .parse()
        .map_err(|_| format!("{shown} is not a postgres URL"))?;
    if config.get_password().is_none()
        && let Some(password) = env.get("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_user().is_none()
        && let Some(user) = env.get("PGUSER").or_else(|| env.get("USER"))
    {
        config.user(user);
    }
    config.application_name("studio-cockpit probe");
    let (client, connection) = config.connect(NoTls).await.map_err(|e| why(&e, &shown))?;
    let asked = async move {
        let answer = client.simple_query("SELECT 1").await;
        drop(client);
        answer
    };
    // Driven here, so that a time limit ends both.
    let (answer, _) = tokio::join!(asked, connection);
    answer.map(drop).map_err(|e| why(&e, &shown))
}

fn why(error: &tokio_postgres::Error, shown: &str) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{shown}: {}", db.message());
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return refusal(io, shown);
        }
        source = inner.source();
    }
    format!("{shown}: {error}")
}

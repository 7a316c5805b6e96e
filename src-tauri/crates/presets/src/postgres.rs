//! PostgreSQL: its version and how full it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cockpit_model::service::Check;
use cockpit_model::spec::{ProbeCheck, Run};
use cockpit_model::{Detail, ServiceSpec};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_postgres::{Client, Config, NoTls};

use crate::around::Surroundings;
use crate::{Observation, Preset};

const LIMIT: Duration = Duration::from_secs(3);
/// From here on the next deployment's connections may not fit.
const NEARLY_FULL: f64 = 0.9;

/// The preset of kind `postgres`.
pub(crate) struct Postgres {
    spec: ServiceSpec,
    around: Surroundings,
}

impl Postgres {
    pub(crate) const fn new(spec: ServiceSpec, around: Surroundings) -> Self {
        Self { spec, around }
    }

    /// What to ask: `database`, else the readiness probe's, else the usual database there.
    fn url(&self) -> Option<String> {
        if let Some(url) = &self.spec.options.database {
            return Some(url.clone());
        }
        let port = self.spec.listen_port()?.to_string();
        if let Some(ProbeCheck::Postgres(url)) = self.spec.ready.as_ref().map(|ready| &ready.check)
        {
            return Some(url.replace("{port}", &port));
        }
        Some(format!("postgres://127.0.0.1:{port}/postgres"))
    }

    async fn look(&self) -> Observation {
        let mut seen = Observation::default();
        if matches!(self.spec.run, Run::Watch)
            && let Some(port) = self.spec.listen_port()
            && let Some(holder) = self.around.holder(port).await
        {
            seen.owner = Some(holder.owner);
            seen.owner_detail = Some(holder.described);
        }
        let Some(url) = self.url() else { return seen };
        let env = self.around.env_of(&self.spec).await;
        let check = match ask(&url, &env).await {
            Ok((version, used, most)) => {
                seen.version = Some(version);
                fullness(used, most)
            }
            Err(error) => Check {
                name: "connections".to_owned(),
                ok: None,
                latency_ms: None,
                error: Some(error),
            },
        };
        seen.detail = Some(Detail {
            checks: vec![check],
            ..Detail::default()
        });
        seen
    }
}

fn fullness(used: i64, most: i64) -> Check {
    #[allow(
        clippy::cast_precision_loss,
        reason = "counts of connections are small"
    )]
    let full = most > 0 && used as f64 >= most as f64 * NEARLY_FULL;
    Check {
        name: format!("connections ({used} of {most})"),
        ok: Some(!full),
        latency_ms: None,
        error: full.then(|| format!("{used} of {most} connections are in use")),
    }
}

/// Version, connections in use, connections there may be.
async fn ask(url: &str, env: &BTreeMap<String, String>) -> Result<(String, i64, i64), String> {
    tokio::time::timeout(LIMIT, async {
        let client = connect(url, env).await?;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), \
                 (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
                 current_setting('max_connections')::bigint",
                &[],
            )
            .await
            .map_err(|e| words(&e))?;
        let version: String = row.try_get(0).map_err(|e| words(&e))?;
        // Debian appends its package: "16.4 (Debian 16.4-1)".
        let version = version.split(' ').next().unwrap_or_default().to_owned();
        Ok((
            version,
            row.try_get(1).map_err(|e| words(&e))?,
            row.try_get(2).map_err(|e| words(&e))?,
        ))
    })
    .await
    .map_err(|_| "no answer in time".to_owned())?
}

/// `SELECT 1`, and how long it took with the connection it needs.
pub(crate) async fn select_one(
    url: &str,
    env: &BTreeMap<String, String>,
) -> Result<Duration, String> {
    let began = Instant::now();
    tokio::time::timeout(LIMIT, async {
        let client = connect(url, env).await?;
        client.simple_query("SELECT 1").await.map_err(|e| words(&e))
    })
    .await
    .map_err(|_| "no answer in time".to_owned())??;
    Ok(began.elapsed())
}

async fn connect(url: &str, env: &BTreeMap<String, String>) -> Result<Client, String> {
    let mut config = parse(url, env)?;
    config
        .application_name("studio-cockpit")
        .connect_timeout(LIMIT);
    let (client, connection) = config.connect(NoTls).await.map_err(|e| words(&e))?;
    // Ends when the client is dropped.
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!("the database connection ended: {e}");
        }
    });
    Ok(client)
}

/// A URL whose password may be named (`$PASSWORD`, `${PASSWORD}`), completed by libpq's variables.
fn parse(url: &str, env: &BTreeMap<String, String>) -> Result<Config, String> {
    let url = with_password(url, env)?;
    // The error would quote the URL.
    let mut config: Config = url
        .parse()
        .map_err(|_| "the database's URL does not parse".to_owned())?;
    if config.get_user().is_none() {
        let user = env
            .get("PGUSER")
            .or_else(|| env.get("USER"))
            .map_or("postgres", String::as_str);
        config.user(user);
    }
    if config.get_password().is_none()
        && let Some(password) = env.get("PGPASSWORD")
    {
        config.password(password);
    }
    Ok(config)
}

fn with_password<'a>(url: &'a str, env: &BTreeMap<String, String>) -> Result<Cow<'a, str>, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(Cow::Borrowed(url));
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let Some((credentials, _)) = authority.rsplit_once('@') else {
        return Ok(Cow::Borrowed(url));
    };
    let Some((user, password)) = credentials.split_once(':') else {
        return Ok(Cow::Borrowed(url));
    };
    let Some(name) = password.strip_prefix('$') else {
        return Ok(Cow::Borrowed(url));
    };
    let name = name.trim_start_matches('{').trim_end_matches('}');
    let value = env
        .get(name)
        .ok_or_else(|| format!("the variable {name} with the database's password is not set"))?;
    let after = rest.get(credentials.len()..).unwrap_or_default();
    Ok(Cow::Owned(format!(
        "{scheme}://{user}:{}{after}",
        percent(value)
    )))
}

fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The server's own sentence, or the innermost cause.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return db.message().to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Preset for Postgres {
    fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    fn around(&self) -> &Surroundings {
        &self.around
    }

    fn inspect(&self) -> BoxFuture<'_, Observation> {
        self.look().boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::around::doubles::{around, spec};
    use cockpit_model::spec::{Kind, ProbeSpec};

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_password_is_named_and_never_written() {
        let env = env(&[("DB_PW", "p@ss/w"), ("USER", "me")]);
        let config = parse("postgres://app:${DB_PW}@127.0.0.1:5432/app", &env).unwrap();
        assert_eq!(config.get_password(), Some(b"p@ss/w".as_slice()));
        assert_eq!(config.get_user(), Some("app"));
        let config = parse("postgres://app:$DB_PW@h/app?sslmode=disable", &env).unwrap();
        assert_eq!(config.get_password(), Some(b"p@ss/w".as_slice()));
        let error = parse("postgres://app:$NOT@h/app", &env).unwrap_err();
        assert!(error.contains("NOT"), "{error}");
        let config = parse("postgres://127.0.0.1:5432/postgres", &env).unwrap();
        assert_eq!(config.get_user(), Some("me"));
        let error = parse("postgres://u:secret@h:x/", &env).unwrap_err();
        assert!(!error.contains("secret"));
    }

    #[test]
    fn what_is_asked() {
        let mut spec = spec("db", Kind::Postgres);
        spec.listen = Some("127.0.0.1:5433".into());
        let url = |spec: &ServiceSpec| Postgres::new(spec.clone(), around(None, None)).url();
        assert_eq!(url(&spec).unwrap(), "postgres://127.0.0.1:5433/postgres");
        spec.ready = Some(ProbeSpec {
            check: ProbeCheck::Postgres("postgres://app@h:{port}/app".into()),
            every: LIMIT,
            timeout: LIMIT,
            failures: 3,
            successes: 2,
        });
        assert_eq!(url(&spec).unwrap(), "postgres://app@h:5433/app");
        spec.options.database = Some("postgres://x/y".into());
        assert_eq!(url(&spec).unwrap(), "postgres://x/y");
    }

    #[test]
    fn nearly_full_is_told() {
        assert_eq!(fullness(3, 100).ok, Some(true));
        let full = fullness(95, 100);
        assert_eq!(full.ok, Some(false));
        assert!(full.error.unwrap().contains("95 of 100"));
    }

    #[tokio::test]
    async fn nobody_there_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let error = select_one(&format!("postgres://x@127.0.0.1:{port}/x"), &env(&[]))
            .await
            .unwrap_err();
        assert!(error.to_lowercase().contains("refused"), "{error}");
    }
}

//! Secrets from the keychain: macOS's Keychain, the Secret Service on Linux.
//!
//! Read through the system's own tool, which asks the person where the keychain is locked. The
//! secret is returned and nowhere kept; errors never hold it.

use std::time::Duration;

use cockpit_model::{Code, Problem};

use crate::command::{Output, RunError, Runner, System};

/// A locked keychain asks a person: they get the time to answer.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks a secret up by the service's name and, where given, the account. `None`: there is none.
///
/// # Errors
/// [`Code::NotSupported`] when this machine has no keychain tool; [`Code::Storage`] when the
/// keychain refuses.
pub async fn lookup(service: &str, account: Option<&str>) -> Result<Option<String>, Problem> {
    lookup_with(&System, service, account).await
}

async fn lookup_with(
    runner: &dyn Runner,
    service: &str,
    account: Option<&str>,
) -> Result<Option<String>, Problem> {
    let (program, args) = line(service, account);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match runner.run(program, &args, LIMIT).await {
        Ok(done) => read(service, &done),
        Err(e @ RunError::Missing(_)) => Err(Problem::new(
            Code::NotSupported,
            "this machine has no keychain to ask",
        )
        .detail(e.to_string())
        .remedy("give the secret as { env = \"…\" } or { file = \"…\" } instead")),
        Err(e) => Err(
            Problem::new(Code::Storage, format!("the keychain gave no `{service}`"))
                .detail(e.to_string()),
        ),
    }
}

fn read(service: &str, done: &Output) -> Result<Option<String>, Problem> {
    if done.ok {
        let secret = done.stdout.strip_suffix('\n').unwrap_or(&done.stdout);
        return Ok((!secret.is_empty()).then(|| secret.to_owned()));
    }
    let complaint = done.complaint();
    // `security` says so; `secret-tool` just exits with 1.
    if complaint.is_empty() || complaint.contains("could not be found") {
        return Ok(None);
    }
    Err(
        Problem::new(Code::Storage, format!("the keychain gave no `{service}`"))
            .detail(complaint)
            .remedy("unlock the keychain, or allow the access it asks about"),
    )
}

#[cfg(target_os = "macos")]
fn line(service: &str, account: Option<&str>) -> (&'static str, Vec<String>) {
    let mut args = vec!["find-generic-password", "-w", "-s", service];
    if let Some(account) = account {
        args.extend(["-a", account]);
    }
    let args = args.into_iter().map(str::to_owned).collect();
    ("/usr/bin/security", args)
}

#[cfg(not(target_os = "macos"))]
fn line(service: &str, account: Option<&str>) -> (&'static str, Vec<String>) {
    let mut args = vec!["lookup", "service", service];
    if let Some(account) = account {
        args.extend(["username", account]);
    }
    ("secret-tool", args.into_iter().map(str::to_owned).collect())
}

#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use crate::command::double::Scripted;

    #[tokio::test]
    async fn found_absent_refused_and_no_keychain() {
        let asked = "secret-tool lookup service openai username me";
        let found = Scripted::default().answer(asked, true, "sk-1\n");
        let secret = lookup_with(&found, "openai", Some("me")).await.unwrap();
        assert_eq!(secret.as_deref(), Some("sk-1"));

        let absent = Scripted::default().answer("secret-tool lookup service openai", false, "");
        assert_eq!(lookup_with(&absent, "openai", None).await.unwrap(), None);

        let refused = Scripted::default().answer(
            "secret-tool lookup service openai",
            false,
            "Cannot create an item in a locked collection",
        );
        let problem = lookup_with(&refused, "openai", None).await.unwrap_err();
        assert_eq!(problem.code, Code::Storage);

        let problem = lookup_with(&Scripted::default(), "openai", None)
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::NotSupported);
    }
}

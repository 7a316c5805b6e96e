//! What the CLI's words about a failure amount to: a cause that can be read at a glance, and the way
//! out. Pure; the texts are those of the CLI 3.1.
//!
//! An image that cannot be pulled is tried three times at each of three registries, for each of a
//! dozen services, and every try is told again at the end: kilobytes, whose first reason says it all.

/// A failure, as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: String,
    pub(super) remedy: String,
}

const PULL: &str = "failed to pull docker image from all registries: ";
const DAEMON: &str = "Error response from daemon: ";
/// What it says at the end of every failure; the remedy says it where nothing better is known.
const DEBUG: &str = "Try rerunning the command with --debug to troubleshoot the error.";

/// Reads what `supabase VERB` said when it failed: `all` of its error output, `last` of it.
pub(super) fn failure(verb: &str, all: &str, last: &str) -> Failure {
    if let Some(pull) = all.lines().find_map(|line| line.trim().strip_prefix(PULL)) {
        let image = pull.split(' ').next().unwrap_or_default();
        let reason = pull.split(DAEMON).nth(1).unwrap_or(pull);
        let reason = reason.split("; ").next().unwrap_or(reason).trim();
        return Failure {
            cause: format!("its images cannot be pulled ({image}: {reason})"),
            remedy: "look whether this machine reaches the network and the registries \
                     (public.ecr.aws, ghcr.io, docker.io), then start it again"
                .to_owned(),
        };
    }
    let parts: Vec<&str> = last
        .split("; ")
        .filter(|part| !part.is_empty() && *part != DEBUG)
        .collect();
    let cause = parts.join("; ");
    let remedy = if cause.contains("port is already allocated")
        || cause.contains("address already in use")
    {
        "another project or program has its ports: stop that one, or change the ports in supabase/config.toml".to_owned()
    } else {
        format!("run `supabase {verb} --debug` there")
    };
    Failure { cause, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_cannot_be_pulled_are_one_reason() {
        let tries = r#"public.ecr.aws/supabase/kong:2.8.1 attempt 1: Error response from daemon: Get "https://public.ecr.aws/v2/": dial tcp: lookup public.ecr.aws: no such host; public.ecr.aws/supabase/kong:2.8.1 attempt 2: Error response from daemon: Get "https://public.ecr.aws/v2/": dial tcp: lookup public.ecr.aws: no such host"#;
        let all = format!("Retrying after 4s: x\n{PULL}{tries}\n{PULL}{tries}\n{DEBUG}\n");
        let said = failure("start", &all, "");
        assert_eq!(
            said.cause,
            r#"its images cannot be pulled (public.ecr.aws/supabase/kong:2.8.1: Get "https://public.ecr.aws/v2/": dial tcp: lookup public.ecr.aws: no such host)"#
        );
        assert!(said.remedy.contains("network"));
    }

    #[test]
    fn anything_else_is_said_without_the_advice() {
        let last = format!(
            "failed to list containers: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?; {DEBUG}"
        );
        let said = failure("stop", "", &last);
        assert!(said.cause.ends_with("Is the docker daemon running?"));
        assert_eq!(said.remedy, "run `supabase stop --debug` there");
        let taken = failure("start", "", "port is already allocated");
        assert!(taken.remedy.contains("change the ports"));
    }
}

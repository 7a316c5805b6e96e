//! How a verb fails, and what the process then exits with.

use std::io::{self, Write};

use cockpit_model::verdict::ConfigError;
use cockpit_model::{Code, Problem};

use super::style::{Style, Tone};

/// What every verb answers.
pub(super) type Done = Result<(), Failure>;

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something went wrong, and what to do.
    Problem(Problem),
    /// The configuration does not hold.
    Config(Vec<ConfigError>),
    /// The answer could not be written.
    Output(io::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// Tells it on standard error; the answer is the exit code.
    pub(super) fn report(self, json: bool) -> u8 {
        let code = self.exit_code();
        // Standard error is the last place to tell anything: if it is gone, the exit code is left.
        let _ = self.write(&mut io::stderr().lock(), json, Style::of(&io::stderr()));
        code
    }

    fn exit_code(&self) -> u8 {
        match self {
            // The reader left (`… | head`): nothing is wrong.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
            Self::Config(_) => 2,
            Self::Problem(problem) => match problem.code {
                Code::NotRunning => 3,
                Code::ConfigInvalid | Code::BadRequest => 2,
                _ => 1,
            },
        }
    }

    fn write(&self, out: &mut impl Write, json: bool, style: Style) -> io::Result<()> {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Self::Output(error) => {
                let problem = Problem::new(Code::Internal, "the answer could not be written")
                    .detail(error.to_string());
                write_problem(out, &problem, json, style)
            }
            Self::Problem(problem) => write_problem(out, problem, json, style),
            Self::Config(errors) if json => {
                let answer = serde_json::json!({ "code": Code::ConfigInvalid, "errors": errors });
                writeln!(out, "{answer}")
            }
            Self::Config(errors) => {
                for error in errors {
                    writeln!(out, "{} {error}", style.paint(Tone::Bad, "error:"))?;
                }
                Ok(())
            }
        }
    }
}

fn write_problem(
    out: &mut impl Write,
    problem: &Problem,
    json: bool,
    style: Style,
) -> io::Result<()> {
    if json {
        let text = serde_json::to_string(problem)?;
        return writeln!(out, "{text}");
    }
    writeln!(
        out,
        "{} {}",
        style.paint(Tone::Bad, "error:"),
        problem.title
    )?;
    if let Some(detail) = &problem.detail {
        for line in detail.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    if let Some(remedy) = &problem.remedy {
        writeln!(out, "  {} {remedy}", style.paint(Tone::Faint, "→"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn exit_codes() {
        let of = |code| Failure::from(Problem::new(code, "x")).exit_code();
        assert_eq!(of(Code::NotRunning), 3);
        assert_eq!(of(Code::ConfigInvalid), 2);
        assert_eq!(of(Code::ActionFailed), 1);
        assert_eq!(of(Code::UnknownService), 1);
        assert_eq!(Failure::Config(Vec::new()).exit_code(), 2);
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::from(pipe).exit_code(), 0);
    }

    #[test]
    fn a_problem_says_what_to_do() {
        let problem = Problem::new(Code::NotRunning, "no cockpit is running")
            .detail("nobody listens")
            .remedy("start it");
        let mut out = Vec::new();
        let failure = Failure::from(problem);
        failure.write(&mut out, false, Style::PLAIN).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "error: no cockpit is running\n  nobody listens\n  → start it\n"
        );
    }
}

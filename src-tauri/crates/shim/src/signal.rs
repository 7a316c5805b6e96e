//! Signals by name and number. The numbers differ between systems; names are what people write and read.

use std::borrow::Cow;

use rustix::process::Signal;

const NAMES: [(&str, Signal); 16] = [
    ("SIGTERM", Signal::TERM),
    ("SIGINT", Signal::INT),
    ("SIGQUIT", Signal::QUIT),
    ("SIGHUP", Signal::HUP),
    ("SIGUSR1", Signal::USR1),
    ("SIGUSR2", Signal::USR2),
    ("SIGKILL", Signal::KILL),
    ("SIGABRT", Signal::ABORT),
    ("SIGSEGV", Signal::SEGV),
    ("SIGBUS", Signal::BUS),
    ("SIGILL", Signal::ILL),
    ("SIGFPE", Signal::FPE),
    ("SIGTRAP", Signal::TRAP),
    ("SIGPIPE", Signal::PIPE),
    ("SIGALRM", Signal::ALARM),
    ("SIGXCPU", Signal::XCPU),
];

/// The number of `SIGTERM`; `None` for what is not the name of a signal that ends processes.
#[must_use]
pub fn number(name: &str) -> Option<i32> {
    let mut names = NAMES.iter();
    let (_, signal) = names.find(|(known, _)| *known == name)?;
    Some(signal.as_raw())
}

/// `SIGTERM`, or `signal 34` where it has no name here.
#[must_use]
pub fn name(number: i32) -> Cow<'static, str> {
    let mut names = NAMES.iter();
    match names.find(|(_, signal)| signal.as_raw() == number) {
        Some((name, _)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("signal {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_each_others() {
        for (signal, _) in NAMES {
            assert_eq!(number(signal).map(name).as_deref(), Some(signal));
        }
        assert_eq!((number("SIGMA"), name(0).as_ref()), (None, "signal 0"));
    }
}

//! Thresholds both ways: one sample changes nothing.

/// Which way the verdict went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Up,
    Down,
}

/// Counts samples in a row against the two thresholds.
#[derive(Debug, Clone)]
pub(crate) struct Threshold {
    failures: u32,
    successes: u32,
    failed: u32,
    passed: u32,
    verdict: Option<bool>,
    error: Option<String>,
}

impl Threshold {
    /// Nothing is known yet. A threshold of 0 is taken as 1.
    pub(crate) fn new(failures: u32, successes: u32) -> Self {
        Self {
            failures: failures.max(1),
            successes: successes.max(1),
            failed: 0,
            passed: 0,
            verdict: None,
            error: None,
        }
    }

    /// Takes a sample and says whether the verdict turned.
    pub(crate) fn sample(&mut self, outcome: Result<(), String>) -> Option<Turn> {
        match outcome {
            Ok(()) => {
                self.failed = 0;
                self.error = None;
                self.passed = self.passed.saturating_add(1);
                if self.passed >= self.successes && self.verdict != Some(true) {
                    self.verdict = Some(true);
                    return Some(Turn::Up);
                }
            }
            Err(error) => {
                self.passed = 0;
                self.error = Some(error);
                self.failed = self.failed.saturating_add(1);
                if self.failed >= self.failures && self.verdict != Some(false) {
                    self.verdict = Some(false);
                    return Some(Turn::Down);
                }
            }
        }
        None
    }

    /// `None` until enough samples agreed.
    pub(crate) const fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Failures in a row.
    pub(crate) const fn failed(&self) -> u32 {
        self.failed
    }

    /// Why the last sample failed, if it did.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Forgets what was counted, keeps the verdict: the samples were taken in bad circumstances.
    pub(crate) fn forgive(&mut self) {
        self.failed = 0;
        self.passed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn needs_as_many_in_a_row_as_told() {
        let mut health = Threshold::new(3, 2);
        assert_eq!(health.sample(Ok(())), None);
        assert_eq!(health.sample(Ok(())), Some(Turn::Up));
        assert_eq!(health.sample(no()), None);
        assert_eq!(health.sample(no()), None);
        assert_eq!(health.sample(Ok(())), None, "one success forgives");
        assert_eq!(health.sample(no()), None);
        assert_eq!(health.sample(no()), None);
        assert_eq!(health.sample(no()), Some(Turn::Down));
        assert_eq!(health.sample(no()), None, "it turns once");
        assert_eq!(health.sample(Ok(())), None);
        assert_eq!(health.sample(Ok(())), Some(Turn::Up));
    }
}

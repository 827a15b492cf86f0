//! Counts of what came back.

use std::collections::BTreeMap;
use std::fmt::Write;

use parking_lot::Mutex;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Login,
    Read,
    Deposit,
    Transfer,
    Fraud,
    Probe,
    Stuffing,
    Flood,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Login => "logins",
            Self::Read => "reads",
            Self::Deposit => "deposits",
            Self::Transfer => "transfers",
            Self::Fraud => "frauds",
            Self::Probe => "probes",
            Self::Stuffing => "stuffed logins",
            Self::Flood => "flood",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// An HTTP status.
    Status(u16),
    /// Connection refused, broken or timed out.
    NoAnswer,
}

/// Counts by kind and outcome. HTTP has few statuses, so this stays small.
#[derive(Default)]
pub(super) struct Tally(Mutex<BTreeMap<(Kind, Outcome), u64>>);

impl Tally {
    pub(super) fn count(&self, kind: Kind, outcome: Outcome) {
        *self.0.lock().entry((kind, outcome)).or_default() += 1;
    }

    /// Counts an HTTP answer, or that there was none.
    pub(super) fn count_answer(&self, kind: Kind, answer: &Result<reqwest::Response, reqwest::Error>) {
        let outcome = match answer {
            Ok(response) => Outcome::Status(response.status().as_u16()),
            Err(_) => Outcome::NoAnswer,
        };
        self.count(kind, outcome);
    }

    /// One line about everything since the last one, such as `reads 200×48 429×1, transfers 201×2`.
    pub(super) fn take_summary(&self) -> String {
        let counts = std::mem::take(&mut *self.0.lock());
        let mut line = String::new();
        let mut last = None;
        for ((kind, outcome), count) in counts {
            if last != Some(kind) {
                let comma = if line.is_empty() { "" } else { ", " };
                let _ = write!(line, "{comma}{}", kind.name());
                last = Some(kind);
            }
            let _ = match outcome {
                Outcome::Status(status) => write!(line, " {status}×{count}"),
                Outcome::NoAnswer => write!(line, " none×{count}"),
            };
        }
        if line.is_empty() { "nothing came back".to_owned() } else { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_came_back_since_the_last_one() {
        let tally = Tally::default();
        assert_eq!(tally.take_summary(), "nothing came back");
        for (kind, outcome) in [
            (Kind::Flood, Outcome::Status(429)),
            (Kind::Read, Outcome::Status(200)),
            (Kind::Flood, Outcome::NoAnswer),
            (Kind::Read, Outcome::Status(200)),
        ] {
            tally.count(kind, outcome);
        }
        assert_eq!(tally.take_summary(), "reads 200×2, flood 429×1 none×1");
        assert_eq!(tally.take_summary(), "nothing came back");
    }
}

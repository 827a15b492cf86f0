//! What the gateway's fraud model said about an entered payment, as it stands in the request's headers.
//!
//! The gateway removes a client's own copies of these headers, so what arrives is the gateway's word. It is still read
//! strictly: anything unclear counts as no score, never as a low one.

use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// Most reasons shown.
const REASONS_MAX: usize = 8;
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;

/// What would happen to the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It would be booked.
    Allow,
    /// It would be booked and looked at.
    Observe,
    /// The customer would have to slow down.
    Throttle,
    /// The customer would have to confirm it.
    StepUp,
    /// It would wait for a person.
    Hold,
    /// It would be refused.
    Deny,
}

/// The model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct FraudResult {
    /// How likely it is fraud, 0..=1.
    pub score: f64,
    /// What would happen.
    pub outcome: Outcome,
    /// Sentences, strongest first.
    pub reasons: Vec<String>,
}

impl FraudResult {
    /// Reads `Gatehouse-Fraud-Score`, `-Outcome` and `-Reasons`; nothing when score or outcome is missing or unclear.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let score = read_score(only(headers, "gatehouse-fraud-score")?)?;
        let outcome = Outcome::read(only(headers, "gatehouse-fraud-outcome")?)?;
        let reasons = only(headers, "gatehouse-fraud-reasons").map(read_reasons).unwrap_or_default();
        Some(Self { score, outcome, reasons })
    }

    /// The score in whole percent.
    pub fn percent(&self) -> i64 {
        // The score is within 0..=1, so the product is within 0..=100.
        (self.score * 100.0).round() as i64
    }
}

impl Outcome {
    fn read(text: &str) -> Option<Self> {
        match text {
            "allow" => Some(Self::Allow),
            "observe" => Some(Self::Observe),
            "throttle" => Some(Self::Throttle),
            "step_up" => Some(Self::StepUp),
            "hold" => Some(Self::Hold),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }

    /// What would happen, for the person who entered the payment.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Allow => "This payment would go through.",
            Self::Observe => "This payment would go through, and we would keep an eye on it.",
            Self::Throttle => "You would be asked to wait a little before paying.",
            Self::StepUp => "You would be asked to confirm this payment with your second factor.",
            Self::Hold => "This payment would wait until somebody at the bank has looked at it.",
            Self::Deny => "This payment would be stopped.",
        }
    }

    /// The style of the result.
    pub fn tone(self) -> &'static str {
        match self {
            Self::Allow | Self::Observe => "good",
            Self::Throttle | Self::StepUp | Self::Hold => "warn",
            Self::Deny => "bad",
        }
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn read_score(text: &str) -> Option<f64> {
    let is_decimal = text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let score = is_decimal.then(|| text.parse::<f64>().ok())??;
    (0.0..=1.0).contains(&score).then_some(score)
}

fn read_reasons(text: &str) -> Vec<String> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .take(REASONS_MAX)
        .map(|part| to_the_customer(&percent_decode_str(part).decode_utf8_lossy()))
        .collect()
}

/// The gateway's sentences speak about the customer; this page speaks to them.
fn to_the_customer(reason: &str) -> String {
    let spoken = reason.replace("this customer's", "your").replace("this customer", "you");
    let mut chars = spoken.chars().take(REASON_CHARS_MAX);
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(score: &'static str, outcome: &'static str, reasons: &'static str) -> Option<FraudResult> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("gatehouse-fraud-score", score),
            ("gatehouse-fraud-outcome", outcome),
            ("gatehouse-fraud-reasons", reasons),
        ] {
            if !value.is_empty() {
                headers.append(name, HeaderValue::from_static(value));
            }
        }
        FraudResult::read(&headers)
    }

    #[test]
    fn a_clear_answer_is_read_whole() {
        let result =
            read("0.873", "hold", "A%20new%20payee;Far%20above%20your%20usual%3B%20at%20night").unwrap();
        assert_eq!((result.percent(), result.outcome), (87, Outcome::Hold));
        assert_eq!(result.reasons, ["A new payee", "Far above your usual; at night"]);
        assert_eq!(read("0", "allow", "").unwrap().percent(), 0);
        assert_eq!(read("1.0", "deny", ";;").unwrap().reasons, Vec::<String>::new());
    }

    #[test]
    fn an_unclear_answer_is_no_score() {
        for (score, outcome) in [
            ("", "allow"),
            ("0.5", ""),
            ("NaN", "allow"),
            ("inf", "allow"),
            ("-0.1", "allow"),
            ("1.01", "allow"),
            ("1e-3", "allow"),
            ("0,5", "allow"),
            (".", "allow"),
            ("0.5", "Allow"),
            ("0.5", "unavailable"),
        ] {
            assert_eq!(read(score, outcome, "x"), None, "{score} {outcome}");
        }
        let mut twice = HeaderMap::new();
        twice.append("gatehouse-fraud-score", HeaderValue::from_static("0.1"));
        twice.append("gatehouse-fraud-score", HeaderValue::from_static("0.9"));
        twice.append("gatehouse-fraud-outcome", HeaderValue::from_static("allow"));
        assert_eq!(FraudResult::read(&twice), None);
    }

    #[test]
    fn reasons_speak_to_the_customer() {
        let reasons = "amount is 50 times this customer's usual;at night, an unusual hour for this customer";
        let spoken = ["Amount is 50 times your usual", "At night, an unusual hour for you"];
        assert_eq!(read_reasons(reasons), spoken);
    }

    #[test]
    fn reasons_are_bounded() {
        let long = format!("{};{}", "a".repeat(5_000), "b;".repeat(100));
        let reasons = read_reasons(&long);
        assert_eq!(reasons.len(), REASONS_MAX);
        assert!(reasons.iter().all(|reason| reason.chars().count() <= REASON_CHARS_MAX));
        assert_eq!(read_reasons("%ff%00ok").len(), 1);
    }
}

//! Amounts as people write them: read strictly and without floating point, shown with thousands apart.

/// Most digits before the point: enough for any amount that the ledger takes.
const WHOLE_DIGITS_MAX: usize = 13;

/// Why a text is not an amount; each is a sentence for the person who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Nothing was written.
    #[error("Enter an amount")]
    Empty,
    /// A minus or plus sign.
    #[error("Enter the amount without a sign")]
    Sign,
    /// A comma, where the decimal point or nothing should be.
    #[error("Write the amount with a point and no commas, for example 1250.50")]
    Comma,
    /// A space or apostrophe between, before or after the digits.
    #[error("Write the amount without spaces, for example 1250.50")]
    Space,
    /// More digits after the point than the currency has.
    #[error("There are too many digits after the point")]
    TooPrecise,
    /// More than any amount here.
    #[error("The amount is too large")]
    TooLarge,
    /// Nothing at all, in figures.
    #[error("Enter an amount above zero")]
    Zero,
    /// Anything else.
    #[error("Write the amount in digits, for example 12.50")]
    Format,
}

/// How many digits the minor unit of `currency` has after the point (ISO 4217).
pub fn minor_digits(currency: &str) -> usize {
    match currency {
        "CLP" | "ISK" | "JPY" | "KRW" | "PYG" | "UGX" | "VND" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// Reads `12`, `12.5` or `12.50` in a currency of two minor digits as 1200, 1250, 1250 minor units.
///
/// # Errors
/// Everything else, zero too, is an [`AmountError`] that says how to write it.
pub fn parse(text: &str, currency: &str) -> Result<i64, AmountError> {
    let digits = minor_digits(currency);
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return Err(AmountError::Format),
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return Err(fault(text));
    }
    if fraction.len() > digits {
        return Err(AmountError::TooPrecise);
    }
    if whole.len() > WHOLE_DIGITS_MAX {
        return Err(AmountError::TooLarge);
    }
    let padding = std::iter::repeat_n(b'0', digits.saturating_sub(fraction.len()));
    let amount_minor = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(padding)
        .try_fold(0_i64, |sum, byte| sum.checked_mul(10)?.checked_add(i64::from(byte.wrapping_sub(b'0'))))
        .ok_or(AmountError::TooLarge)?;
    if amount_minor == 0 { Err(AmountError::Zero) } else { Ok(amount_minor) }
}

/// The most helpful of the faults in a text that is not digits.
fn fault(text: &str) -> AmountError {
    if text.trim().is_empty() {
        AmountError::Empty
    } else if text.starts_with(['-', '+', '\u{2212}']) {
        AmountError::Sign
    } else if text.contains(',') {
        AmountError::Comma
    } else if text.contains(|c: char| c.is_whitespace() || c == '\'') {
        AmountError::Space
    } else {
        AmountError::Format
    }
}

/// Minor units as text: `-1,234.50` for -123450 with two minor digits.
pub fn show(amount_minor: i64, currency: &str) -> String {
    let digits = minor_digits(currency);
    let text = format!("{:0width$}", amount_minor.unsigned_abs(), width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    let mut shown = String::with_capacity(text.len() + 8);
    if amount_minor < 0 {
        // The minus sign of typography, as wide as a digit.
        shown.push('\u{2212}');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    if digits > 0 {
        shown.push('.');
        shown.push_str(fraction);
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused_with_the_way_to_write_them() {
        use AmountError::*;
        let long = "9".repeat(100_000);
        let cases = [
            ("12", "EUR", Ok(1200)),
            ("12.5", "EUR", Ok(1250)),
            ("12.50", "EUR", Ok(1250)),
            ("0.01", "EUR", Ok(1)),
            ("12", "JPY", Ok(12)),
            ("12.345", "KWD", Ok(12345)),
            ("9999999999999.99", "EUR", Ok(999_999_999_999_999)),
            ("", "EUR", Err(Empty)),
            ("  ", "EUR", Err(Empty)),
            ("0", "EUR", Err(Zero)),
            ("0.00", "EUR", Err(Zero)),
            ("-12", "EUR", Err(Sign)),
            ("+12", "EUR", Err(Sign)),
            ("\u{2212}12", "EUR", Err(Sign)),
            ("12,50", "EUR", Err(Comma)),
            ("1,250.50", "EUR", Err(Comma)),
            ("1 250", "EUR", Err(Space)),
            (" 12", "EUR", Err(Space)),
            ("12\n", "EUR", Err(Space)),
            ("12.505", "EUR", Err(TooPrecise)),
            ("12.5", "JPY", Err(TooPrecise)),
            (".50", "EUR", Err(Format)),
            ("12.", "EUR", Err(Format)),
            ("1.2.3", "EUR", Err(Format)),
            ("1e3", "EUR", Err(Format)),
            ("0x10", "EUR", Err(Format)),
            ("NaN", "EUR", Err(Format)),
            ("\u{0661}\u{0662}", "EUR", Err(Format)),
            ("\u{ff11}", "EUR", Err(Format)),
            ("12\0", "EUR", Err(Format)),
            ("12EUR", "EUR", Err(Format)),
            ("10000000000000", "EUR", Err(TooLarge)),
            (long.as_str(), "EUR", Err(TooLarge)),
        ];
        for (text, currency, expected) in cases {
            let start: String = text.chars().take(20).collect();
            assert_eq!(parse(text, currency), expected, "{start:?} {currency}");
        }
    }

    #[test]
    fn amounts_are_shown_with_thousands_apart() {
        let cases = [
            (0, "EUR", "0.00"),
            (7, "EUR", "0.07"),
            (-7, "EUR", "\u{2212}0.07"),
            (123_456, "EUR", "1,234.56"),
            (100_000_000, "EUR", "1,000,000.00"),
            (123_456, "JPY", "123,456"),
            (1_234, "KWD", "1.234"),
            (i64::MIN, "EUR", "\u{2212}92,233,720,368,547,758.08"),
        ];
        for (amount_minor, currency, expected) in cases {
            assert_eq!(show(amount_minor, currency), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_read_back(
            amount_minor in 1_i64..=1_000_000_000_000,
            currency in prop::sample::select(vec!["EUR", "JPY", "KWD"]),
        ) {
            prop_assert_eq!(parse(&show(amount_minor, currency).replace(',', ""), currency), Ok(amount_minor));
        }

        #[test]
        fn a_text_is_read_only_if_it_is_digits_with_at_most_two_after_a_point(text in "[0-9., +e-]{0,20}") {
            let expected = {
                let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
                let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                number(whole) && number(fraction) && fraction.len() <= 2 && whole.len() <= WHOLE_DIGITS_MAX
                    && text.bytes().any(|b| (b'1'..=b'9').contains(&b))
            };
            prop_assert_eq!(parse(&text, "EUR").is_ok(), expected, "{:?}", text);
        }

        #[test]
        fn no_text_at_all_makes_it_fail(text in any::<String>()) {
            let _ = parse(&text, "EUR");
        }
    }
}

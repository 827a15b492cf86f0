//! Amounts, times and sentences as people write them.

use policies::record::RecordedTransfer;

/// Minor units as a person writes them; currencies without minor units (ISO 4217) keep none.
pub fn money(transfer: &RecordedTransfer) -> String {
    let digits: usize = match transfer.currency.as_str() {
        "JPY" | "KRW" | "ISK" | "CLP" | "VND" | "XAF" | "XOF" => 0,
        "BHD" | "KWD" | "OMR" | "JOD" | "TND" => 3,
        _ => 2,
    };
    let minor = transfer.amount_minor.unsigned_abs();
    let unit = 10_u64.pow(digits as u32);
    let major = grouped(minor / unit);
    let sign = if transfer.amount_minor < 0 { "-" } else { "" };
    match digits {
        0 => format!("{sign}{major} {}", transfer.currency),
        _ => format!("{sign}{major}.{:0digits$} {}", minor % unit, transfer.currency),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of seconds, rounded to what matters.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// A number of seconds, exactly.
pub fn seconds(count: u64) -> String {
    if count == 1 { "1 second".to_owned() } else { format!("{count} seconds") }
}

/// Text that ends as a sentence does.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// A sentence to go on with after a colon.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An abbreviation such as SQL stays as it is.
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_in_its_own_unit() {
        let cases = [
            (920_000, "EUR", "9,200.00 EUR"),
            (5, "EUR", "0.05 EUR"),
            (-1_234_567, "USD", "-12,345.67 USD"),
            (1_234_567, "JPY", "1,234,567 JPY"),
            (1_234_567, "KWD", "1,234.567 KWD"),
            (i64::MIN, "EUR", "-92,233,720,368,547,758.08 EUR"),
        ];
        for (amount_minor, currency, expected) in cases {
            let party = || policies::record::Pseudonym(String::new());
            let transfer =
                RecordedTransfer { from: party(), to: party(), amount_minor, currency: currency.to_owned() };
            assert_eq!(money(&transfer), expected);
        }
    }

    #[test]
    fn a_clause_begins_small_unless_it_is_an_abbreviation() {
        for (text, expected) in
            [("The amount", "the amount"), ("SQL found", "SQL found"), ("", ""), ("A", "A")]
        {
            assert_eq!(lower_first(text), expected);
        }
    }
}

//! One cell: text of a CSV file or a value of a Parquet file, and what can be made of it.

use sha2::{Digest, Sha256};
use std::io::Write;

/// What stands in one row of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    Missing,
    /// Without spaces around it.
    Text(&'a [u8]),
    Int(i128),
    Float(f64),
    Bool(bool),
    /// Unix milliseconds.
    Time(i64),
}

/// A number as a feature needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Value(f64),
    Missing,
    Infinite,
    Unreadable,
}

impl<'a> Cell<'a> {
    /// A cell of a text file.
    pub(super) fn of_text(text: &'a [u8]) -> Self {
        let text = text.trim_ascii();
        if text.is_empty() { Self::Missing } else { Self::Text(text) }
    }

    /// Whether nothing stands here, by the words that tables use for it. `NA`, `n/a` and `none` are no such words among
    /// categories, where they are a country or a continent, and levels like any other.
    pub(super) fn is_missing(&self, in_category: bool) -> bool {
        match self {
            Self::Missing => true,
            Self::Float(number) => number.is_nan(),
            Self::Text(text) => match text.len() {
                1 => *text == b"?",
                2 => !in_category && text.eq_ignore_ascii_case(b"na"),
                3 => text.eq_ignore_ascii_case(b"nan") || (!in_category && text.eq_ignore_ascii_case(b"n/a")),
                4 => {
                    text.eq_ignore_ascii_case(b"null")
                        || *text == b"#N/A"
                        || *text == b"<NA>"
                        || (!in_category && text.eq_ignore_ascii_case(b"none"))
                }
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn number(&self) -> Number {
        let value = match *self {
            Self::Missing => return Number::Missing,
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
            Self::Bool(truth) => f64::from(u8::from(truth)),
            Self::Time(ms) => ms as f64 / 1_000.0,
            Self::Text(text) => match number(text) {
                Some(number) => number,
                None if self.is_missing(false) => return Number::Missing,
                None if text.eq_ignore_ascii_case(b"true") => 1.0,
                None if text.eq_ignore_ascii_case(b"false") => 0.0,
                None => return Number::Unreadable,
            },
        };
        match value {
            value if value.is_nan() => Number::Missing,
            value if value.is_infinite() => Number::Infinite,
            value => Number::Value(value),
        }
    }

    /// The cell as text, as a text file would most likely have it.
    pub(super) fn text<'c>(&self, scratch: &'c mut Vec<u8>) -> &'c [u8]
    where
        'a: 'c,
    {
        scratch.clear();
        // Writing to memory does not fail.
        let _ = match *self {
            Self::Missing => Ok(()),
            Self::Text(text) => return text,
            Self::Int(number) => write!(scratch, "{number}"),
            Self::Float(number) => write!(scratch, "{number}"),
            Self::Bool(truth) => write!(scratch, "{truth}"),
            Self::Time(ms) => write!(scratch, "{ms}"),
        };
        scratch
    }

    /// A 64-bit identifier: whole numbers stay what they are, text becomes the first 64 bits of its SHA-256.
    pub(super) fn id(&self, scratch: &mut Vec<u8>) -> Option<u64> {
        if self.is_missing(false) {
            return None;
        }
        match *self {
            Self::Int(number) if number >= 0 => u64::try_from(number).ok(),
            _ => None,
        }
        .or_else(|| Some(hash_id(self.text(scratch))))
    }
}

/// The 64-bit identifier of a text as tables read it: a plain whole number stays what it is (`12`, also as `12.0`, which
/// is how a column with gaps is often written; not `012`), anything else becomes the first 64 bits of its SHA-256.
pub fn hash_id(text: &[u8]) -> u64 {
    let digits = text.strip_suffix(b".0").unwrap_or(text);
    let plain = match digits {
        [] => false,
        [b'0'] => true,
        [first, ..] => *first != b'0' && digits.iter().all(u8::is_ascii_digit),
    };
    let number =
        if plain { std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()) } else { None };
    number.unwrap_or_else(|| hash_text(text))
}

/// The hash of a category's text, the same for good: the first 64 bits of its SHA-256, big-endian.
pub fn hash_text(text: &[u8]) -> u64 {
    Sha256::digest(text).iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Powers of ten that are exact.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A number with a decimal point and maybe an exponent; infinities and `nan` as well. No thousands separators.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    decimal(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}

/// At most 15 digits with at most one point among them. Both the digits and the power of ten are exact then, so that one
/// division rounds correctly (Clinger 1990).
fn decimal(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > 16 {
        return None;
    }
    let (mut mantissa, mut count, mut point) = (0_u64, 0, None);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    let decimals: usize = point.map_or(0, |point| count - point);
    if count == 0 || count > 15 {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(decimals)?;
    Some(if negative { -value } else { value })
}

/// What is the matter with a text that is no number.
pub(super) fn number_fault(text: &[u8]) -> &'static str {
    let digits_and = |extra: &[u8]| {
        let fits = |byte: &u8| byte.is_ascii_digit() || b".-+".contains(byte) || extra.contains(byte);
        text.iter().any(u8::is_ascii_digit) && text.iter().all(fits)
    };
    if digits_and(b",' _") {
        "thousands separators and decimal commas are not read; write 1234.5"
    } else if digits_and(b"$%, ") || text.starts_with("€".as_bytes()) || text.starts_with("£".as_bytes()) {
        "signs of currency and percent are not read; write 1234.5"
    } else {
        "no number; texts belong under `categorical`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_what_is_none() {
        let read = |text: &'static str| Cell::of_text(text.as_bytes()).number();
        for (text, value) in
            [(" 57.16 ", 57.16), ("-0.5", -0.5), ("1e3", 1e3), (".5", 0.5), ("5.", 5.0), ("True", 1.0)]
        {
            assert_eq!(read(text), Number::Value(value), "{text}");
        }
        for text in ["", "  ", "NA", "NaN", "nan", "null", "NULL", "?", "-nan", "n/a", "None", "#N/A", "<NA>"]
        {
            assert_eq!(read(text), Number::Missing, "{text}");
        }
        for text in ["inf", "-Infinity", "1e999"] {
            assert_eq!(read(text), Number::Infinite, "{text}");
        }
        for text in ["1,000", "12%", "$5", "abc", "-", ".", "1.2.3", "0x10", "１"] {
            assert_eq!(read(text), Number::Unreadable, "{text}");
        }
        assert!(number_fault(b"1,000").contains("thousands"));
        assert!(number_fault(b"$1,000").contains("currency"));
        assert!(number_fault(b"abc").contains("categorical"));
    }

    #[test]
    fn whole_numbers_stay_and_texts_are_hashed() {
        assert_eq!(
            [&b"596"[..], b"596.0", b"0", b"18446744073709551615"].map(hash_id),
            [596, 596, 0, u64::MAX]
        );
        let hashed = [&b"007"[..], b"-1", b"18446744073709551616", b"C1231", b"1.50", b".0"];
        hashed.into_iter().for_each(|text| assert_eq!(hash_id(text), hash_text(text)));
        // The first 64 bits of the SHA-256 of "abc" (FIPS 180-2).
        assert_eq!(hash_text(b"abc"), 0xba78_16bf_8f01_cfea);
        assert_eq!(Cell::Float(596.0).id(&mut Vec::new()), Some(596));
        assert_eq!(Cell::Int(-1).id(&mut Vec::new()), Some(hash_text(b"-1")));
    }

    proptest! {
        #[test]
        fn the_short_way_reads_what_the_long_way_reads(text in "-?[0-9]{0,16}(\\.[0-9]{0,16})?") {
            if let Some(short) = decimal(text.as_bytes()) {
                prop_assert_eq!(short.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }
    }
}

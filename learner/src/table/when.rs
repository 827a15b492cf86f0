//! Times as tables have them.

/// Milliseconds of year 1 and of the end of year 9999, the range of what is taken for a time.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Forms that are read, for messages.
pub const FORMS: &str = "2024-01-31, 2024-01-31 13:45[:30[.5]][Z or +02:00] with a space or T, or a number: unix seconds, \
                         milliseconds, microseconds or nanoseconds by the size of the first one, or `time_unit` of the mapping";

/// What a number in a time column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours, as simulators count steps.
    Hours,
    /// Days.
    Days,
}

impl TimeUnit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nanoseconds,
        Self::Microseconds,
        Self::Milliseconds,
        Self::Seconds,
        Self::Minutes,
        Self::Hours,
        Self::Days,
    ];

    /// The name in mappings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "nanoseconds",
            Self::Microseconds => "microseconds",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    /// How many of them are a millisecond, or how many milliseconds one is.
    const fn ratio(self) -> (i64, i64) {
        match self {
            Self::Nanoseconds => (1, 1_000_000),
            Self::Microseconds => (1, 1_000),
            Self::Milliseconds => (1, 1),
            Self::Seconds => (1_000, 1),
            Self::Minutes => (60_000, 1),
            Self::Hours => (3_600_000, 1),
            Self::Days => (86_400_000, 1),
        }
    }

    /// Whole units to milliseconds since 1970, rounded down; `None` outside of years 1 to 9999.
    pub fn whole_ms(self, count: i64) -> Option<i64> {
        let (times, over) = self.ratio();
        count.checked_mul(times).map(|ms| ms.div_euclid(over)).filter(|ms| RANGE_MS.contains(ms))
    }

    /// The same for a number with a fraction.
    pub fn fraction_ms(self, count: f64) -> Option<i64> {
        let (times, over) = self.ratio();
        let ms = (count * times as f64 / over as f64).round();
        // A NaN is in no range.
        (*RANGE_MS.start() as f64..=*RANGE_MS.end() as f64).contains(&ms).then_some(ms as i64)
    }

    /// The unit in which a number of this size is a time of our days: of the years 1973 to 5138, milliseconds and finer.
    fn by_size(count: f64) -> Self {
        match count.abs() {
            size if size < 1e11 => Self::Seconds,
            size if size < 1e14 => Self::Milliseconds,
            size if size < 1e17 => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }
}

/// How the times of one column are written. The first time decides, and the rest are held to it: a column that mixes
/// forms has more than one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Undecided,
    Written,
    Counted(TimeUnit),
}

/// Why a time was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTime {
    Unreadable,
    /// Not in the form of the times before it.
    OtherForm,
    /// The first time is a number such as 20240131.
    MaybeDate,
}

impl NoTime {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Unreadable => format!("no time; read are {FORMS}"),
            Self::OtherForm => "not written as the times before it".into(),
            Self::MaybeDate => "a date or a number of seconds? Write 2024-01-31, or say `time_unit`".into(),
        }
    }
}

impl Clock {
    pub(super) fn new(unit: Option<TimeUnit>) -> Self {
        unit.map_or(Self::Undecided, Self::Counted)
    }

    /// Milliseconds of a time as text; `text` is trimmed.
    pub(super) fn text(&mut self, text: &[u8]) -> Result<i64, NoTime> {
        if *self != Self::Written
            && let Some(number) = super::cell::number(text)
        {
            let whole = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            return self.number(number, whole);
        }
        let ms = iso_8601(text).ok_or(NoTime::Unreadable)?;
        match self {
            Self::Counted(_) => Err(NoTime::OtherForm),
            _ => {
                *self = Self::Written;
                Ok(ms)
            }
        }
    }

    /// Milliseconds of a number; `whole` where it is an integer, which may be too large to be exact as `number`.
    pub(super) fn number(&mut self, number: f64, whole: Option<i64>) -> Result<i64, NoTime> {
        let unit = match *self {
            Self::Written => return Err(NoTime::OtherForm),
            Self::Counted(unit) => unit,
            Self::Undecided if whole.is_some_and(maybe_date) => return Err(NoTime::MaybeDate),
            Self::Undecided => TimeUnit::by_size(number),
        };
        let ms = whole.map_or_else(|| unit.fraction_ms(number), |whole| unit.whole_ms(whole));
        let ms = ms.ok_or(NoTime::Unreadable)?;
        *self = Self::Counted(unit);
        Ok(ms)
    }

    /// A time that the file itself says is one.
    pub(super) fn typed(&mut self, ms: i64) -> Result<i64, NoTime> {
        *self = Self::Written;
        if RANGE_MS.contains(&ms) { Ok(ms) } else { Err(NoTime::Unreadable) }
    }
}

/// Whether a number reads as year, month and day: 20240131.
fn maybe_date(number: i64) -> bool {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    (1900..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Milliseconds since 1970 of `YYYY-MM-DD`, with time of day after a space or `T`, with or without seconds, their
/// fraction (rounded down to milliseconds) and a zone (ISO 8601; UTC where none is given).
pub fn iso_8601(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = date else { return None };
    let year = i64::from(two(y0, y1)?) * 100 + i64::from(two(y2, y3)?);
    let days = days_since_1970(year, two(m0, m1)?, two(d0, d1)?)?;
    let of_day = match rest {
        [] => 0,
        [b' ' | b'T' | b't', time @ ..] => time_of_day_ms(time)?,
        _ => return None,
    };
    Some(days * 86_400_000 + of_day).filter(|ms| RANGE_MS.contains(ms))
}

fn time_of_day_ms(text: &[u8]) -> Option<i64> {
    let [h0, h1, b':', m0, m1, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h0, *h1)?, two(*m0, *m1)?);
    let (second, rest) = match rest {
        [b':', s0, s1, rest @ ..] => (two(*s0, *s1)?, rest),
        rest => (0, rest),
    };
    // 60 is a leap second.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, rest) = match rest {
        [b'.' | b',', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, rest) = rest.split_at_checked(digits)?;
            let ms =
                fraction.iter().chain(b"000").take(3).fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
            (Some(ms).filter(|_| digits > 0)?, rest)
        }
        rest => (0, rest),
    };
    let seconds = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    Some((seconds - zone_s(rest)?) * 1_000 + fraction_ms)
}

/// Seconds east of UTC.
fn zone_s(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text.trim_ascii_start() {
        [] | [b'Z' | b'z'] | b"UTC" | b"GMT" => return Some(0),
        [sign @ (b'+' | b'-'), h0, h1] => (sign, two(*h0, *h1)?, 0),
        [sign @ (b'+' | b'-'), h0, h1, m0, m1] | [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            (sign, two(*h0, *h1)?, two(*m0, *m1)?)
        }
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    let east = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
    Some(if *sign == b'-' { -east } else { east })
}

fn two(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

/// Days from 1970-01-01 in the Gregorian calendar; `None` for a day that its month has not.
fn days_since_1970(year: i64, month: u8, day: u8) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (before, length) = match month {
        1 => (0, 31),
        2 => (31, if leap { 29 } else { 28 }),
        3 => (59, 31),
        4 => (90, 30),
        5 => (120, 31),
        6 => (151, 30),
        7 => (181, 31),
        8 => (212, 31),
        9 => (243, 30),
        10 => (273, 31),
        11 => (304, 30),
        12 => (334, 31),
        _ => return None,
    };
    if day == 0 || day > length || year == 0 {
        return None;
    }
    let past = year - 1;
    let leap_days = past / 4 - past / 100 + past / 400 + i64::from(leap && month > 2);
    // 719,162 days lie between 0001-01-01 and 1970-01-01.
    Some(past * 365 + leap_days + before + i64::from(day) - 1 - 719_162)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::format_description::well_known::Rfc3339;

    #[test]
    fn forms_that_mean_the_same_moment() {
        for text in [
            "2018-04-01 00:00:31",
            "2018-04-01T00:00:31Z",
            "2018-04-01T02:00:31+02:00",
            "2018-03-31 19:30:31.000-0430",
            "2018-04-01 00:00:31 UTC",
            "2018-04-01 00:00:31,0004",
        ] {
            assert_eq!(iso_8601(text.as_bytes()), Some(1_522_540_831_000), "{text}");
        }
        assert_eq!(iso_8601(b"2018-04-01"), Some(1_522_540_800_000));
        assert_eq!(iso_8601(b"2018-04-01 00:00:31.25"), Some(1_522_540_831_250));
        assert_eq!(iso_8601(b"2018-04-01T00:01"), Some(1_522_540_860_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2018-02-29",
            "2018-04-31",
            "2018-13-01",
            "2018-00-01",
            "0000-01-01",
            "2018-4-1",
            "01/04/2018",
            "2018-04-01 24:00:00",
            "2018-04-01 00:60",
            "2018-04-01 0:00:31",
            "2018-04-01 00:00:31.",
            "2018-04-01 00:00:31+2",
            "2018-04-01 00:00:31 CET",
            "2018-04-01x",
            "2018-04-01 ",
            "２018-04-01",
        ] {
            assert_eq!(iso_8601(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_first_number_decides_the_unit() {
        for (number, ms) in [
            ("1522540831", 1_522_540_831_000),
            ("1522540831.25", 1_522_540_831_250),
            ("1522540831250", 1_522_540_831_250),
            ("1522540831250999", 1_522_540_831_250),
            ("1522540831250999999", 1_522_540_831_250),
            ("0", 0),
        ] {
            assert_eq!(Clock::Undecided.text(number.as_bytes()), Ok(ms), "{number}");
        }
        let mut clock = Clock::Undecided;
        assert_eq!(clock.text(b"1522540831"), Ok(1_522_540_831_000));
        assert_eq!(clock.text(b"172800000000"), Ok(172_800_000_000_000), "still seconds");
        assert_eq!(clock.text(b"2018-04-01"), Err(NoTime::OtherForm));
        let mut clock = Clock::Undecided;
        assert_eq!(clock.text(b"2018-04-01"), Ok(1_522_540_800_000));
        assert_eq!(clock.text(b"1522540831"), Err(NoTime::Unreadable));
        assert_eq!(Clock::new(Some(TimeUnit::Hours)).text(b"5"), Ok(18_000_000));
    }

    #[test]
    fn a_date_without_dashes_is_asked_about() {
        assert_eq!(Clock::Undecided.text(b"20240131"), Err(NoTime::MaybeDate));
        assert_eq!(Clock::new(Some(TimeUnit::Seconds)).text(b"20240131"), Ok(20_240_131_000));
        assert_eq!(Clock::Undecided.text(b"20241331"), Ok(20_241_331_000));
    }

    proptest! {
        #[test]
        fn agrees_with_the_time_crate(seconds in -62_000_000_000_i64..253_000_000_000, ms in 0_i64..1_000) {
            let moment = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap()
                + time::Duration::milliseconds(ms);
            let text = moment.format(&Rfc3339).unwrap();
            prop_assert_eq!(iso_8601(text.as_bytes()), Some(seconds * 1_000 + ms));
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = iso_8601(&bytes);
            let _ = Clock::Undecided.text(&bytes);
        }
    }
}

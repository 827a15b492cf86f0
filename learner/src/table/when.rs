//! Times as tables have them.

/// Milliseconds of year 1 and of the end of year 9999, the range of what is taken for a time.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Forms that are read, for messages.
pub const FORMS: &str = "2024-01-31, 2024-01-31 13:45[:30[.5]][Z or +02:00] with a space or T, the same with 31.01.2024, \
                         31/1/2024 or 1/31/2024 (`date_order` of the mapping says which), or a number: unix seconds, \
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

/// What comes first in a date whose year comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// 31/01/2024, as most of the world writes.
    DayFirst,
    /// 01/31/2024, as the United States do.
    MonthFirst,
}

impl DateOrder {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::DayFirst, Self::MonthFirst];

    /// The name in mappings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DayFirst => "day-month-year",
            Self::MonthFirst => "month-day-year",
        }
    }
}

/// How the times of one column are written. The first time decides, and the rest are held to it: a column that mixes
/// forms has more than one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Undecided,
    Written,
    /// As dates whose year comes last; by the mapping's word, or the first one told by having more than 12 in one place.
    Ordered(DateOrder),
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
    /// The first time is a date such as 01/02/2024.
    WhichOrder,
}

impl NoTime {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Unreadable => format!("no time; read are {FORMS}"),
            Self::OtherForm => "not written as the times before it".into(),
            Self::MaybeDate => "a date or a number of seconds? Write 2024-01-31, or say `time_unit`".into(),
            Self::WhichOrder => {
                let [day, month] = DateOrder::ALL.map(DateOrder::name);
                format!("day or month first? Say `date_order = \"{day}\"` or `\"{month}\"` in [columns]")
            }
        }
    }
}

impl Clock {
    pub(super) fn new(unit: Option<TimeUnit>, order: Option<DateOrder>) -> Self {
        order.map(Self::Ordered).or(unit.map(Self::Counted)).unwrap_or(Self::Undecided)
    }

    /// Milliseconds of a time as text; `text` is trimmed.
    pub(super) fn text(&mut self, text: &[u8]) -> Result<i64, NoTime> {
        if matches!(*self, Self::Undecided | Self::Counted(_))
            && let Some(number) = super::cell::number(text)
        {
            let whole = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            return self.number(number, whole);
        }
        if let Some(ms) = iso_8601(text) {
            return match self {
                Self::Undecided | Self::Written => {
                    *self = Self::Written;
                    Ok(ms)
                }
                Self::Ordered(_) | Self::Counted(_) => Err(NoTime::OtherForm),
            };
        }
        let local = LocalTime::parse(text).ok_or(NoTime::Unreadable)?;
        let order = match self {
            Self::Ordered(order) => *order,
            Self::Undecided => local.order().ok_or(NoTime::WhichOrder)?,
            Self::Written | Self::Counted(_) => return Err(NoTime::OtherForm),
        };
        let ms = local.ms(order).ok_or(NoTime::Unreadable)?;
        *self = Self::Ordered(order);
        Ok(ms)
    }

    /// Milliseconds of a number; `whole` where it is an integer, which may be too large to be exact as `number`.
    pub(super) fn number(&mut self, number: f64, whole: Option<i64>) -> Result<i64, NoTime> {
        let unit = match *self {
            Self::Written | Self::Ordered(_) => return Err(NoTime::OtherForm),
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
        if *self == Self::Undecided {
            *self = Self::Written;
        }
        if RANGE_MS.contains(&ms) { Ok(ms) } else { Err(NoTime::Unreadable) }
    }
}

/// Whether a number reads as year, month and day: 20240131.
fn maybe_date(number: i64) -> bool {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    (1900..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// A date whose year comes last, and the time of day.
struct LocalTime {
    /// Day and month, in an order that the text does not say.
    first: [u8; 2],
    year: i64,
    of_day_ms: i64,
}

impl LocalTime {
    /// One or two digits twice and a year of four, all parted by the same one of `/` `.` `-`; then nothing, or a space and a
    /// time of day as in [`iso_8601`], of which the hour may have one digit and AM or PM may follow.
    fn parse(text: &[u8]) -> Option<Self> {
        let (date, time) = match text.iter().position(|byte| *byte == b' ') {
            Some(at) => (text.get(..at)?, text.get(at..)?.trim_ascii_start()),
            None => (text, &b""[..]),
        };
        let sign = *date.iter().find(|byte| b"/.-".contains(byte))?;
        let mut pieces = date.split(|byte| *byte == sign);
        let first = [short(pieces.next()?)?, short(pieces.next()?)?];
        let &[y0, y1, y2, y3] = pieces.next()? else { return None };
        let year = i64::from(two(y0, y1)?) * 100 + i64::from(two(y2, y3)?);
        let of_day_ms = if time.is_empty() { 0 } else { clock_time_ms(time)? };
        pieces.next().is_none().then_some(Self { first, year, of_day_ms })
    }

    /// What comes first, where only one order makes a date of it, or both the same.
    fn order(&self) -> Option<DateOrder> {
        match self.first {
            [day, _] if day > 12 => Some(DateOrder::DayFirst),
            [_, day] if day > 12 => Some(DateOrder::MonthFirst),
            _ => None,
        }
    }

    fn ms(&self, order: DateOrder) -> Option<i64> {
        let [day, month] = match (order, self.first) {
            (DateOrder::DayFirst, [day, month]) | (DateOrder::MonthFirst, [month, day]) => [day, month],
        };
        let days = days_since_1970(self.year, month, day)?;
        Some(days * 86_400_000 + self.of_day_ms).filter(|ms| RANGE_MS.contains(ms))
    }
}

/// A number of one or two digits.
fn short(text: &[u8]) -> Option<u8> {
    match *text {
        [one] => two(b'0', one),
        [tens, ones] => two(tens, ones),
        _ => None,
    }
}

/// Milliseconds of a time of day whose hour may have one digit, with or without AM or PM after it.
fn clock_time_ms(text: &[u8]) -> Option<i64> {
    const HOUR_MS: i64 = 3_600_000;
    let padded = if text.get(1) == Some(&b':') { [b"0", text].concat() } else { text.to_vec() };
    let half = padded.len().saturating_sub(2);
    let afternoon = match padded.get(half..) {
        Some(end) if end.eq_ignore_ascii_case(b"am") => false,
        Some(end) if end.eq_ignore_ascii_case(b"pm") => true,
        _ => return time_of_day_ms(&padded),
    };
    let ms = time_of_day_ms(padded.get(..half)?.trim_ascii_end())?;
    // Twelve comes before one.
    let within = if (12 * HOUR_MS..13 * HOUR_MS).contains(&ms) { ms - 12 * HOUR_MS } else { ms };
    let ms = within + if afternoon { 12 * HOUR_MS } else { 0 };
    (within < 12 * HOUR_MS && ms >= 0).then_some(ms)
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
        assert_eq!(Clock::new(Some(TimeUnit::Hours), None).text(b"5"), Ok(18_000_000));
    }

    #[test]
    fn a_date_without_dashes_is_asked_about() {
        assert_eq!(Clock::Undecided.text(b"20240131"), Err(NoTime::MaybeDate));
        assert_eq!(Clock::new(Some(TimeUnit::Seconds), None).text(b"20240131"), Ok(20_240_131_000));
        assert_eq!(Clock::Undecided.text(b"20241331"), Ok(20_241_331_000));
    }

    #[test]
    fn dates_whose_year_comes_last() {
        let by = |order| move |text: &str| Clock::new(None, Some(order)).text(text.as_bytes()).ok();
        let (day_first, month_first) = (by(DateOrder::DayFirst), by(DateOrder::MonthFirst));
        let of = |iso: &str| iso_8601(iso.as_bytes());
        for (text, day, month) in [
            ("01/02/2024", "2024-02-01", "2024-01-02"),
            ("1.2.2024 3:05", "2024-02-01 03:05", "2024-01-02 03:05"),
            ("1-2-2024 13:05:09.5", "2024-02-01 13:05:09.5", "2024-01-02 13:05:09.5"),
            ("1/2/2024  12:05:09 AM", "2024-02-01 00:05:09", "2024-01-02 00:05:09"),
            ("1/2/2024 12:05 pm", "2024-02-01 12:05", "2024-01-02 12:05"),
            ("1/2/2024 11:05PM", "2024-02-01 23:05", "2024-01-02 23:05"),
        ] {
            assert_eq!((day_first(text), month_first(text)), (of(day), of(month)), "{text}");
        }
        assert_eq!((day_first("31/01/2024"), month_first("31/01/2024")), (of("2024-01-31"), None));
        for text in [
            "1/2/24",
            "1/2.2024",
            "1/2/2024x",
            "1/2/2024 13:05 PM",
            "1/2/2024 1 PM",
            "30/02/2024",
            "1/2/2024/3",
            "1//2024",
            "2024-02-01",
            "1706745600",
            "/",
            " ",
        ] {
            assert_eq!(day_first(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_date_decides_the_order_or_is_asked_about() {
        let mut clock = Clock::Undecided;
        assert_eq!(clock.text(b"02/01/2024"), Err(NoTime::WhichOrder));
        assert_eq!(clock.text(b"25-01-2015"), Ok(iso_8601(b"2015-01-25").unwrap()));
        assert_eq!(clock.text(b"02-01-2015"), Ok(iso_8601(b"2015-01-02").unwrap()));
        assert_eq!(clock.text(b"01-25-2015"), Err(NoTime::Unreadable));
        assert_eq!(clock.text(b"2015-01-25"), Err(NoTime::OtherForm));
        assert_eq!(Clock::Undecided.text(b"1/25/2015"), Ok(iso_8601(b"2015-01-25").unwrap()));
        let mut clock = Clock::Written;
        assert_eq!(clock.text(b"25/01/2015"), Err(NoTime::OtherForm));
        assert!(NoTime::WhichOrder.reason().contains("date_order = \"day-month-year\""));
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
            let _ = LocalTime::parse(&bytes);
        }
    }
}

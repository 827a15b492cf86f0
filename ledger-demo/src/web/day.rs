//! Dates and times as people read them. All times are in UTC and say so.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[day padding:none] [month repr:short] [year]");
const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
const MACHINE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// `22 Nov 2026`; a dash for a time that no calendar has.
pub fn day(unix_ms: i64) -> String {
    format(unix_ms, DAY)
}

/// `22 Nov 2026, 07:31 UTC`.
pub fn moment(unix_ms: i64) -> String {
    format(unix_ms, MOMENT)
}

/// `2026-11-22T07:31:00Z`, for the `datetime` attribute.
pub fn machine(unix_ms: i64) -> String {
    format(unix_ms, MACHINE)
}

fn format(unix_ms: i64, shape: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(shape).ok())
        .unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_and_never_fail() {
        assert_eq!(day(1_795_332_660_000), "22 Nov 2026");
        assert_eq!(moment(1_795_332_660_000), "22 Nov 2026, 07:31 UTC");
        assert_eq!(machine(1_795_332_660_000), "2026-11-22T07:31:00Z");
        assert_eq!(day(-86_400_000), "31 Dec 1969");
        assert_eq!(day(i64::MAX), "–");
        assert_eq!(moment(i64::MIN), "–");
    }
}

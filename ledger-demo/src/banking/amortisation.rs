//! Equal instalments in whole minor units: no floating point, and the principal parts sum to the principal exactly.

use time::{Date, Duration, Month, OffsetDateTime};

use super::Instalment;

/// One part in a year's rate: a hundredth of a percent, a twelfth of a year.
const MONTHLY_RATE_PARTS: i128 = 10_000 * 12;

/// The schedule of a loan of `principal_minor` at `rate_bp` hundredths of a percent a year over `months` instalments, the
/// first due a month after `granted_ms`. The instalment is the smallest that repays in time; the last one is what is left.
pub(super) fn schedule(principal_minor: i64, rate_bp: u32, months: u16, granted_ms: i64) -> Vec<Instalment> {
    let payment = smallest_payment(principal_minor, rate_bp, months);
    let mut owed = i128::from(principal_minor);
    let mut instalments = Vec::with_capacity(months.into());
    for number in 1..=months {
        let interest = interest(owed, rate_bp);
        let principal = if number == months { owed } else { (payment - interest).clamp(0, owed) };
        owed -= principal;
        instalments.push(Instalment {
            number,
            due_ms: months_later(granted_ms, number),
            principal_minor: minor(principal),
            interest_minor: minor(interest),
        });
    }
    instalments
}

/// The interest of one month, rounded half up.
fn interest(owed: i128, rate_bp: u32) -> i128 {
    (owed * i128::from(rate_bp) + MONTHLY_RATE_PARTS / 2) / MONTHLY_RATE_PARTS
}

/// By halving the range: what is owed at the end falls as the payment grows.
fn smallest_payment(principal_minor: i64, rate_bp: u32, months: u16) -> i128 {
    let principal = i128::from(principal_minor);
    let repays = |payment: i128| {
        let owed = (0..months).fold(principal, |owed, _| (owed + interest(owed, rate_bp) - payment).max(0));
        owed == 0
    };
    let (mut low, mut high) = (0, principal + interest(principal, rate_bp));
    while low + 1 < high {
        let middle = i128::midpoint(low, high);
        if repays(middle) { high = middle } else { low = middle }
    }
    high
}

fn minor(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// The same time of day `months` later; the last day of the month where that month is shorter.
fn months_later(at_ms: i64, months: u16) -> i64 {
    let shifted =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok().and_then(|at| {
            let month = i32::from(u8::from(at.month())) - 1 + i32::from(months);
            let year = at.year() + month.div_euclid(12);
            let month = Month::try_from(u8::try_from(month.rem_euclid(12) + 1).ok()?).ok()?;
            let day = at.day().min(month.length(year));
            let date = Date::from_calendar_date(year, month, day).ok()?;
            i64::try_from(at.replace_date(date).unix_timestamp_nanos() / 1_000_000).ok()
        });
    // Only a time thousands of years off has no calendar; thirty days a month is as good there.
    shifted.unwrap_or_else(|| {
        at_ms.saturating_add(Duration::days(30 * i64::from(months)).whole_milliseconds() as i64)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_schedule_worked_out_by_hand() {
        // 1,000.00 at 12 % over three months: 1 % a month.
        let parts: Vec<_> =
            schedule(100_000, 1_200, 3, 0).iter().map(|i| (i.principal_minor, i.interest_minor)).collect();
        assert_eq!(parts, [(33_003, 1_000), (33_333, 670), (33_664, 337)]);
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let ms = |text: &str| {
            let format = &time::format_description::well_known::Rfc3339;
            i64::try_from(OffsetDateTime::parse(text, format).unwrap().unix_timestamp_nanos() / 1_000_000)
                .unwrap()
        };
        for (from, months, to) in [
            ("2026-01-31T10:00:00Z", 1, "2026-02-28T10:00:00Z"),
            ("2027-11-30T10:00:00Z", 3, "2028-02-29T10:00:00Z"),
            ("2026-12-15T00:00:00Z", 1, "2027-01-15T00:00:00Z"),
        ] {
            assert_eq!(months_later(ms(from), months), ms(to), "{from} + {months}");
        }
        assert!(months_later(i64::MAX, 84) > 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_schedule_repays_exactly(principal in 1..5_000_000_i64, rate_bp in 0..3_000_u32, months in 1..=84_u16) {
            let schedule = schedule(principal, rate_bp, months, 0);
            prop_assert_eq!(schedule.len(), usize::from(months));
            prop_assert_eq!(schedule.iter().map(|i| i.principal_minor).sum::<i64>(), principal);
            let payments: Vec<i64> = schedule.iter().map(|i| i.principal_minor + i.interest_minor).collect();
            let first = payments[0];
            for (n, instalment) in schedule.iter().enumerate() {
                prop_assert!(instalment.principal_minor >= 0 && instalment.interest_minor >= 0);
                prop_assert!(payments[n] <= first, "no instalment is dearer than the first");
            }
            // Interest is that of what is owed, month by month.
            let mut owed = principal;
            for instalment in &schedule {
                prop_assert_eq!(i128::from(instalment.interest_minor), interest(owed.into(), rate_bp));
                owed -= instalment.principal_minor;
            }
        }

        /// How far a loan is repaid is read off its debt, so an instalment that pays nothing back would count as paid.
        #[test]
        fn every_instalment_of_a_loan_on_offer_pays_something_back(
            principal in crate::banking::LOAN_MINOR, rate_bp in 0..=1_290_u32, months in crate::banking::LOAN_MONTHS,
        ) {
            for instalment in schedule(principal, rate_bp, months, 0) {
                prop_assert!(instalment.principal_minor > 0, "{:?}", instalment);
            }
        }
    }
}

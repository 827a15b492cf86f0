//! What the demo's customers did, day by day.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::ledger::{AccountKind, Category};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How far back the lives begin: a little more than the half year that scores look at.
const DAYS: i64 = 186;
/// Monthly things come every so many days.
const MONTH_DAYS: i64 = 30;

/// Id, owner, kind, name.
pub(super) const ACCOUNTS: [(&str, &str, AccountKind, &str); 7] = [
    ("alice-current", "alice", AccountKind::Current, "Current account"),
    ("alice-savings", "alice", AccountKind::Savings, "Savings"),
    ("bob-current", "bob", AccountKind::Current, "Current account"),
    ("bob-savings", "bob", AccountKind::Savings, "Holiday savings"),
    ("carol-current", "carol", AccountKind::Current, "Current account"),
    ("carol-savings", "carol", AccountKind::Savings, "Savings"),
    ("mallory-current", "mallory", AccountKind::Current, "Current account"),
];

/// One booking of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payment {
    pub(super) at_ms: i64,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) amount_minor: i64,
    pub(super) category: Category,
    pub(super) memo: &'static str,
}

/// Something that comes back every month, on the same day of it.
struct Monthly {
    day: i64,
    from: &'static str,
    to: &'static str,
    amount_minor: i64,
    category: Category,
    memo: &'static str,
}

/// Something that happens now and then.
struct Habit {
    /// Chance on a day, in percent.
    percent: u32,
    /// Hours of the day, UTC.
    hours: std::ops::Range<i64>,
    from: &'static str,
    to: &'static str,
    amounts_minor: std::ops::Range<i64>,
    category: Category,
    memo: &'static str,
    /// How much more it is in the newest month, in percent.
    lately_percent: i64,
}

/// All payments in the order in which they happened, the first 186 days and the last one day before `now_ms`.
pub(super) fn payments(seed: u64, now_ms: i64) -> Vec<Payment> {
    let today_ms = now_ms.div_euclid(DAY_MS) * DAY_MS;
    let mut random = StdRng::seed_from_u64(seed);
    let (monthly, habits) = (monthly(), habits());
    let mut payments = opening(today_ms - DAYS * DAY_MS);
    for days_ago in (1..DAYS).rev() {
        let day_ms = today_ms - days_ago * DAY_MS;
        let day_of_month = (DAYS - days_ago) % MONTH_DAYS;
        for due in monthly.iter().filter(|due| due.day == day_of_month) {
            let Monthly { from, to, amount_minor, category, memo, .. } = *due;
            payments.push(Payment { at_ms: day_ms + 7 * HOUR_MS, from, to, amount_minor, category, memo });
        }
        for habit in &habits {
            // Drawn whether it happens or not, so that one habit's luck does not change another's.
            let (luck, hour) = (random.gen_range(0..100), random.gen_range(habit.hours.clone()));
            let (minute_ms, amount) =
                (random.gen_range(0..HOUR_MS), random.gen_range(habit.amounts_minor.clone()));
            if luck < habit.percent {
                let lately = if days_ago <= MONTH_DAYS { habit.lately_percent } else { 0 };
                payments.push(Payment {
                    at_ms: day_ms + hour * HOUR_MS + minute_ms,
                    from: habit.from,
                    to: habit.to,
                    amount_minor: amount + amount * lately / 100,
                    category: habit.category,
                    memo: habit.memo,
                });
            }
        }
    }
    payments.sort_by_key(|payment| payment.at_ms);
    payments
}

/// What everybody had when they came to the bank.
fn opening(at_ms: i64) -> Vec<Payment> {
    [
        ("alice-current", 185_000),
        ("alice-savings", 420_000),
        ("bob-current", 96_000),
        ("bob-savings", 60_000),
        ("carol-current", 350_000),
        ("carol-savings", 1_250_000),
        ("mallory-current", 21_000),
    ]
    .map(|(to, amount_minor)| Payment {
        at_ms,
        from: "bank-cash-eur",
        to,
        amount_minor,
        category: Category::Deposit,
        memo: "Opening deposit",
    })
    .into()
}

fn monthly() -> Vec<Monthly> {
    use Category::{OwnAccounts, Rent, Salary, Utilities};
    let plan: [(i64, &'static str, &'static str, i64, Category, &'static str); 17] = [
        (1, "employer-northwind", "alice-current", 324_000, Salary, "Salary"),
        (2, "alice-current", "landlord-elm", 108_000, Rent, "Rent"),
        (3, "alice-current", "alice-savings", 35_000, OwnAccounts, "Savings plan"),
        (5, "alice-current", "energy-bright", 8_700, Utilities, "Electricity"),
        (9, "alice-current", "phone-clear", 2_499, Utilities, "Telephone"),
        (1, "employer-harbour", "bob-current", 268_000, Salary, "Salary"),
        (2, "bob-current", "landlord-elm", 94_000, Rent, "Rent"),
        (4, "bob-current", "bob-savings", 15_000, OwnAccounts, "Holidays"),
        (6, "bob-current", "energy-bright", 7_400, Utilities, "Electricity"),
        (11, "bob-current", "phone-clear", 1_999, Utilities, "Telephone"),
        (1, "employer-northwind", "carol-current", 455_000, Salary, "Salary"),
        (2, "carol-current", "landlord-elm", 142_000, Rent, "Rent"),
        (3, "carol-current", "carol-savings", 120_000, OwnAccounts, "Savings plan"),
        (7, "carol-current", "energy-bright", 10_900, Utilities, "Electricity"),
        (12, "carol-current", "phone-clear", 3_499, Utilities, "Telephone"),
        (8, "mallory-current", "phone-clear", 1_499, Utilities, "Telephone"),
        (15, "carol-current", "alice-current", 4_200, Category::Payment, "Garden share"),
    ];
    plan.into_iter()
        .map(|(day, from, to, amount_minor, category, memo)| Monthly {
            day,
            from,
            to,
            amount_minor,
            category,
            memo,
        })
        .collect()
}

fn habits() -> Vec<Habit> {
    use Category::{Deposit, Dining, Groceries, Payment, Shopping, Transport, Withdrawal};
    type Row = (
        u32,
        std::ops::Range<i64>,
        &'static str,
        &'static str,
        std::ops::Range<i64>,
        Category,
        &'static str,
        i64,
    );
    let plan: [Row; 22] = [
        (30, 8..20, "alice-current", "grocer-market", 1_800..8_200, Groceries, "Groceries", 0),
        (10, 9..20, "alice-current", "grocer-corner", 600..2_400, Groceries, "Groceries", 0),
        (18, 12..22, "alice-current", "cafe-lantern", 900..4_200, Dining, "Dinner", 90),
        (25, 7..19, "alice-current", "rail-city", 280..1_900, Transport, "Train", 0),
        (5, 10..20, "alice-current", "store-meridian", 2_500..16_000, Shopping, "Purchase", 0),
        (7, 9..21, "alice-current", "bob-current", 1_000..6_500, Payment, "Shared dinner", 0),
        (4, 10..19, "alice-current", "bank-cash-eur", 3_000..8_000, Withdrawal, "Cash machine", 0),
        (34, 8..20, "bob-current", "grocer-corner", 1_200..6_100, Groceries, "Groceries", 0),
        (15, 12..23, "bob-current", "cafe-lantern", 800..3_600, Dining, "Lunch", 0),
        (20, 6..19, "bob-current", "rail-city", 280..1_700, Transport, "Train", 0),
        (4, 10..20, "bob-current", "store-meridian", 1_900..12_000, Shopping, "Purchase", 60),
        (6, 9..21, "bob-current", "alice-current", 900..5_200, Payment, "Shared dinner", 0),
        (3, 10..20, "bob-current", "carol-current", 1_500..7_000, Payment, "Tickets", 0),
        (6, 10..19, "bob-current", "bank-cash-eur", 2_000..7_000, Withdrawal, "Cash machine", 0),
        (32, 8..20, "carol-current", "grocer-market", 2_200..9_500, Groceries, "Groceries", 0),
        (20, 12..22, "carol-current", "cafe-lantern", 1_200..6_000, Dining, "Dinner", 0),
        (7, 10..20, "carol-current", "store-meridian", 3_500..24_000, Shopping, "Purchase", -40),
        (4, 9..21, "carol-current", "bob-current", 1_500..8_000, Payment, "Tickets", 0),
        (14, 10..22, "bank-cash-eur", "mallory-current", 2_000..18_000, Deposit, "Cash", 0),
        (30, 9..23, "mallory-current", "store-meridian", 1_500..9_000, Shopping, "Purchase", 0),
        (16, 12..23, "mallory-current", "cafe-lantern", 700..3_500, Dining, "Drinks", 0),
        (3, 9..23, "mallory-current", "bob-current", 500..3_000, Payment, "Debt", 0),
    ];
    plan.into_iter()
        .map(|(percent, hours, from, to, amounts_minor, category, memo, lately_percent)| Habit {
            percent,
            hours,
            from,
            to,
            amounts_minor,
            category,
            memo,
            lately_percent,
        })
        .collect()
}

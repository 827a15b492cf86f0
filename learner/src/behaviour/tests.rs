use super::*;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_750_000_000_000;

fn event(at_ms: i64, customer: u64, counterparty: u64, amount_cents: i64) -> Event<'static> {
    Event {
        at_ms,
        customer: Some(customer),
        counterparty: Some(counterparty),
        amount_cents: Some(amount_cents),
        utc_offset_min: 60,
        coordinates: None,
        categories: &[],
        numbers: &[],
    }
}

fn schema() -> Schema {
    Schema::new(Inputs {
        time: true,
        customer: true,
        counterparty: true,
        amount: true,
        attempts: true,
        label_delay_s: 7 * 86_400,
        ..Inputs::default()
    })
}

/// An event's features by name.
struct Seen(Vec<String>, Vec<f32>);

impl Seen {
    fn of(profiles: &Profiles, schema: &Schema, event: &Event<'_>) -> Self {
        let mut vector = Vec::new();
        profiles.describe(schema, event, &mut vector);
        Self(schema.columns().iter().map(|column| column.name.clone()).collect(), vector)
    }

    #[track_caller]
    fn get(&self, name: &str) -> f32 {
        let at = self.0.iter().position(|known| known == name);
        self.1[at.unwrap_or_else(|| panic!("no feature {name}"))]
    }

    /// A count that is kept as ln(1 + n).
    #[track_caller]
    fn count(&self, name: &str) -> u32 {
        self.get(name).exp_m1().round() as u32
    }
}

fn see(profiles: &Profiles, event: &Event<'_>) -> Seen {
    Seen::of(profiles, &schema(), event)
}

#[test]
fn every_schema_describes_as_many_values_as_it_has_columns() {
    for bits in 0..64u32 {
        let has = |bit: u32| bits & 1 << bit != 0;
        let schema = Schema::new(Inputs {
            time: has(0),
            customer: has(1),
            counterparty: has(2),
            amount: has(3),
            coordinates: has(4),
            attempts: has(5),
            label_delay_s: 0,
            categorical: vec!["a".into(), "b".into()],
            numeric: vec!["c".into()],
        });
        let profiles = Profiles::new(ProfileLimits::default());
        for n in 0..6 {
            let event = Event {
                coordinates: has(4).then_some([[48.0, 16.0], [48.0 + n as f64, 16.0]]),
                categories: &[Some(5), None],
                numbers: &[1.5],
                ..event(START_MS + n * DAY_MS, 1, 2, 100 * n)
            };
            let seen = Seen::of(&profiles, &schema, &event);
            assert_eq!(seen.0.len(), seen.1.len(), "{:?}", schema.inputs());
            for (value, column) in seen.1.iter().zip(schema.columns()) {
                assert!(value.is_finite() || (value.is_nan() && column.may_be_missing), "{}", column.name);
            }
            profiles.accept(&event);
        }
    }
}

#[test]
fn names_are_unique_and_the_hash_depends_on_inputs() {
    let schema = schema();
    let mut names: Vec<_> = schema.columns().iter().map(|column| column.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), schema.columns().len());
    let other = Schema::new(Inputs { label_delay_s: 1, ..schema.inputs().clone() });
    assert_ne!(other.hash(), schema.hash());
    let text = serde_json::to_string(&schema).unwrap();
    assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
}

#[test]
fn features_are_of_what_was_accepted_before() {
    let profiles = Profiles::new(ProfileLimits::default());
    for (days, payee, amount) in [(0, 7, 1_000), (5, 7, 2_000), (29, 8, 4_000), (29, 8, 4_000)] {
        profiles.accept(&event(START_MS + days * DAY_MS, 1, payee, amount));
    }
    let seen = see(&profiles, &event(START_MS + 30 * DAY_MS - 1_000, 1, 7, 8_000));
    let counts = ["count_1h", "count_1d", "count_7d", "count_30d"].map(|name| seen.count(name));
    assert_eq!(counts, [0, 2, 2, 4]);
    assert_eq!(["sum_1d", "sum_30d"].map(|name| seen.count(name)), [80, 110]);
    assert_eq!(["history", "times_paid", "new_payees_1d"].map(|name| seen.count(name)), [4, 2, 1]);
    assert_eq!(["payee_fan_in_1d", "payee_fan_in_30d"].map(|name| seen.count(name)), [0, 1]);
    let usual = [1_000f64, 2_000.0, 4_000.0, 4_000.0].map(f64::ln_1p).iter().sum::<f64>() / 4.0;
    assert!((f64::from(seen.get("amount_to_norm_log")) - (8_000f64.ln_1p() - usual)).abs() < 1e-6);
    assert!((seen.get("amount_to_max_log") - 2f32.ln()).abs() < 1e-3);
    // Median 4,000 (the upper of the middle ones), and two of four are at it: no distance, so its least.
    assert!((seen.get("amount_to_median_log") - 2f32.ln()).abs() < 1e-3);
    let later = see(&profiles, &event(START_MS + 90 * DAY_MS, 1, 7, 1));
    assert_eq!((later.count("count_30d"), later.count("sum_30d"), later.count("history")), (0, 0, 4));
}

#[test]
fn windows_of_a_counterparty_are_over_all_its_customers() {
    let profiles = Profiles::new(ProfileLimits::default());
    let hours = |hours: f64| START_MS + (hours * 3_600_000.0) as i64;
    for (customer, at, cents) in [(1, 0.0, 1_000), (2, 480.0, 2_000), (3, 621.5, 3_000), (4, 623.5, 6_000)] {
        profiles.accept(&event(hours(at), customer, 9, cents));
    }
    let seen = see(&profiles, &event(hours(624.0), 5, 9, 5_000));
    let windows =
        |name: &str| ["1h", "1d", "7d", "30d"].map(|window| seen.count(&format!("payee_{name}_{window}")));
    assert_eq!(windows("count"), [1, 2, 3, 4]);
    assert_eq!(windows("sum"), [60, 90, 110, 120]);
    assert!((f64::from(seen.get("payee_mean_7d")) - (110.0f64 / 3.0).ln_1p()).abs() < 1e-3);
    let variance = (4.0 + 9.0 + 36.0) / 3.0 - (11.0f64 / 3.0).powi(2);
    let z = (5.0 - 11.0 / 3.0) / variance.sqrt();
    assert!((f64::from(seen.get("amount_z_payee_7d")) - z).abs() < 1e-3, "{}", seen.get("amount_z_payee_7d"));
    let stranger = see(&profiles, &event(hours(624.0), 5, 8, 5_000));
    assert!(stranger.get("payee_mean_30d").is_nan() && stranger.count("payee_sum_30d") == 0);
}

/// The handbook's rule (Le Borgne et al., section 3.2): over a window of the customer its count and mean amount, the
/// current transaction included; over a window of the terminal that ends a delay before now, the count and the share of
/// fraud. Ours leave the current transaction out, because it is not accepted yet.
#[test]
fn the_handbooks_features_by_hand() {
    let profiles = Profiles::new(ProfileLimits::default());
    let at = |hours: i64| START_MS + hours * 3_600_000;
    let history = [
        (0, 1, 9, 1_000, false),
        (30, 2, 9, 2_000, true),
        (40, 1, 9, 3_000, true),
        (60, 1, 8, 500, false),
        (200, 1, 9, 700, false),
    ];
    for (hours, customer, terminal, cents, _) in history {
        profiles.accept(&event(at(hours), customer, terminal, cents));
    }
    for (hours, customer, terminal, cents, _) in history.into_iter().filter(|row| row.4) {
        profiles.label(&event(at(hours), customer, terminal, cents), None);
    }
    // 7 days after hour 41: known are hours up to 41; of the last day before that, hours 30 and 40.
    let now = see(&profiles, &event(at(41 + 168), 1, 9, 900));
    assert_eq!(now.count("count_7d"), 2);
    assert!((f64::from(now.get("mean_7d")) - 6f64.ln_1p()).abs() < 1e-6);
    assert_eq!((now.get("payee_risk_1d"), now.get("payee_risk_7d")), (1.0, 2.0 / 3.0));
    assert_eq!((now.count("payee_known_7d"), now.count("payee_frauds_7d")), (3, 2));
    assert_eq!(now.count("payee_streak"), 2);
    assert!((now.get("payee_streak_age") - (41.0 + 168.0 - 30.0) / 24.0).abs() < 1e-4);
    // An hour before the second one is known, one of two is.
    let before = see(&profiles, &event(at(39 + 168), 1, 9, 900));
    assert_eq!((before.get("payee_risk_1d"), before.get("payee_risk_7d")), (1.0, 0.5));
    // The customer's own known fraud: one of the two transactions by then.
    assert_eq!((now.count("customer_frauds_7d"), before.count("customer_frauds_7d")), (1, 0));
}

#[test]
fn looking_and_asking_teach_no_norm() {
    let profiles = Profiles::new(ProfileLimits::default());
    let asked = event(START_MS, 1, 2, 5_000_000);
    see(&profiles, &asked);
    assert_eq!((profiles.customers(), profiles.counterparties()), (0, 0));
    for second in 0..5 {
        profiles.attempt(&Event { at_ms: START_MS + second * 1_000, ..asked });
    }
    let soon = see(&profiles, &Event { at_ms: START_MS + 60_000, ..asked });
    let tried = ["attempts_10m", "unaccepted_1h", "unaccepted_1d"];
    assert_eq!(tried.map(|name| soon.count(name)), [5, 5, 5]);
    let later = see(&profiles, &Event { at_ms: START_MS + 2 * 3_600_000, ..asked });
    assert_eq!(tried.map(|name| later.count(name)), [0, 0, 5]);
    assert_eq!((soon.count("history"), soon.count("times_paid"), profiles.counterparties()), (0, 0, 0));
}

#[test]
fn hours_of_day_become_a_habit_around_midnight_too() {
    let profiles = Profiles::new(ProfileLimits::default());
    let midnight = START_MS - START_MS.rem_euclid(DAY_MS) - 3_600_000;
    for day in 0..10 {
        profiles.accept(&event(midnight + day * DAY_MS, 1, 2, 100));
    }
    for (hour, unusual) in [(0, 0.0), (1, 0.0), (23, 0.0), (2, 1.0), (12, 1.0)] {
        let seen = see(&profiles, &event(midnight + 10 * DAY_MS + hour * 3_600_000, 1, 2, 100));
        assert_eq!(seen.get("hour_unusual"), unusual, "hour {hour}");
    }
}

#[test]
fn fan_in_counts_customers_not_events() {
    let profiles = Profiles::new(ProfileLimits::default());
    for customer in 0..40 {
        for _ in 0..3 {
            profiles.accept(&event(START_MS + customer as i64 * 3_600_000, customer, 99, 100));
        }
    }
    let seen = see(&profiles, &event(START_MS + 39 * 3_600_000, 1_000, 99, 100));
    assert_eq!(
        (seen.count("payee_fan_in_30d"), seen.count("payee_fan_in_1d")),
        (party::PAYERS_MAX as u32, 24)
    );
}

#[test]
fn levels_are_known_by_customer_and_over_all() {
    let schema = Schema::new(Inputs { categorical: vec!["channel".into()], ..schema().inputs().clone() });
    let profiles = Profiles::new(ProfileLimits::default());
    let with = |at_ms: i64, customer: u64, level: &'static [Option<u64>]| Event {
        categories: level,
        ..event(at_ms, customer, 2, 1_000)
    };
    for n in 0..8 {
        profiles.accept(&with(START_MS + n * 3_600_000, 1, if n < 6 { &[Some(5)] } else { &[Some(6)] }));
    }
    let later = START_MS + 40 * DAY_MS;
    profiles.label(&with(START_MS + 7 * 3_600_000, 1, &[Some(6)]), None);
    for (level, new, share, count) in
        [(&[Some(5)], 0.0, 0.75, 6), (&[Some(6)], 0.0, 0.25, 2), (&[Some(7)], 1.0, 0.0, 0)]
    {
        let seen = Seen::of(&profiles, &schema, &with(later, 1, level));
        assert_eq!((seen.get("channel.new"), seen.get("channel.share")), (new, share), "{level:?}");
        assert_eq!(seen.count("channel.frequency"), count);
    }
    let [five, six] = [&[Some(5)], &[Some(6)]]
        .map(|level| Seen::of(&profiles, &schema, &with(later, 9, level)).get("channel.odds"));
    assert!(five < 0.0 && six > 0.0, "{five} {six}");
    assert!(Seen::of(&profiles, &schema, &with(later, 1, &[None])).get("channel.odds").is_nan());
    // A customer of whom no levels are on record (a history out of a bank's books) has no new ones.
    profiles.accept(&event(START_MS, 3, 2, 100));
    let of_three = |level| Seen::of(&profiles, &schema, &with(later, 3, level));
    assert!(of_three(&[Some(5)]).get("channel.new").is_nan());
    // Nor is the first level that comes after such a history a rare one.
    profiles.accept(&with(START_MS, 3, &[Some(5)]));
    assert_eq!(["channel.new", "channel.share"].map(|name| of_three(&[Some(5)]).get(name)), [0.0, 1.0]);
    assert_eq!(["channel.new", "channel.share"].map(|name| of_three(&[Some(6)]).get(name)), [1.0, 0.0]);
}

#[test]
fn places_are_compared_with_home_and_with_the_last_one() {
    let schema = Schema::new(Inputs { coordinates: true, ..schema().inputs().clone() });
    let profiles = Profiles::new(ProfileLimits::default());
    let (vienna, berlin) = ([48.21, 16.37], [52.52, 13.40]);
    let at = |hours: i64, there: [f64; 2]| Event {
        coordinates: Some([vienna, there]),
        ..event(START_MS + hours * 3_600_000, 1, 2, 100)
    };
    for hours in 0..6 {
        profiles.accept(&at(hours, [48.22, 16.38]));
    }
    let seen = Seen::of(&profiles, &schema, &at(6, berlin));
    assert!((seen.get("distance_log").exp_m1() - 524.0).abs() < 5.0);
    assert!((seen.get("speed_log").exp_m1() - 524.0).abs() < 5.0);
    assert!(seen.get("distance_z") > 5.0);
}

#[test]
fn memory_is_bounded_and_the_idle_go_first() {
    let limits = ProfileLimits { customers_max: 640, counterparties_max: 640, levels_max: 64 };
    let profiles = Profiles::new(limits);
    for customer in 0..20_000u64 {
        profiles.accept(&event(START_MS + customer as i64, customer, customer, 100));
        profiles.accept(&event(START_MS + customer as i64, u64::MAX, u64::MAX, 100));
    }
    assert!(profiles.customers() <= 640 && profiles.counterparties() <= 640);
    assert_eq!(see(&profiles, &event(START_MS, u64::MAX, 1, 1)).count("history"), 20_000);
    assert_eq!(see(&profiles, &event(START_MS, 0, 1, 1)).count("history"), 0);
}

#[test]
fn one_busy_customer_stays_small() {
    let profiles = Profiles::new(ProfileLimits::default());
    for n in 0..50_000u64 {
        profiles.attempt(&event(START_MS + n as i64 * 7_000, 1, n, 100));
        profiles.accept(&event(START_MS + n as i64 * 7_000, 1, 7, 100));
    }
    assert!(profiles.state_bytes() < 12 * 1024, "{} bytes", profiles.state_bytes());
}

#[test]
fn concurrent_updates_are_all_counted() {
    let profiles = Arc::new(Profiles::new(ProfileLimits::default()));
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let profiles = profiles.clone();
            std::thread::spawn(move || {
                for n in 0..500 {
                    let mine = event(START_MS + n * 1_000, n as u64 % 3, 50 + thread, 10_000);
                    profiles.attempt(&mine);
                    profiles.accept(&mine);
                    see(&profiles, &mine);
                    if n % 10 == 0 {
                        profiles.label(&mine, None);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let later = START_MS + 10 * DAY_MS;
    let seen: Vec<_> = (0..3).map(|customer| see(&profiles, &event(later, customer, 50, 1))).collect();
    let sum = |name: &str| seen.iter().map(|seen| seen.count(name)).sum::<u32>();
    assert_eq!((sum("history"), sum("count_30d"), sum("customer_frauds_30d")), (4_000, 4_000, 400));
    let now = see(&profiles, &event(START_MS + 500_000, 0, 50, 1));
    assert_eq!((now.count("unaccepted_1d"), now.count("payee_fan_in_30d")), (0, 3));
}

fn lived() -> Profiles {
    let profiles = Profiles::new(ProfileLimits::default());
    for n in 0..2_000i64 {
        let mine = Event {
            categories: &[Some(3)],
            coordinates: Some([[1.0, 2.0], [3.0, n as f64 / 100.0]]),
            ..event(START_MS + n * 1_800_000, (n * 7 % 31) as u64, (n * 5 % 17) as u64, 100 + n)
        };
        profiles.attempt(&mine);
        if n % 5 != 0 {
            profiles.accept(&mine);
            if n % 50 == 1 {
                profiles.label(&mine, Some(0.5));
            }
        }
    }
    profiles
}

#[test]
fn a_restored_snapshot_answers_alike_and_goes_on_alike() {
    let before = lived();
    let after = Profiles::restore(&before.snapshot(), ProfileLimits::default()).unwrap();
    assert_eq!(after.snapshot(), before.snapshot());
    for n in 0..100 {
        let mine = event(START_MS + (2_000 + n) * 1_800_000, n as u64 % 33, n as u64 % 19, 777);
        let bits = |seen: Seen| seen.1.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(see(&after, &mine)), bits(see(&before, &mine)));
        before.accept(&mine);
        after.accept(&mine);
    }
}

#[test]
fn smaller_limits_keep_the_newest() {
    let before = Profiles::new(ProfileLimits::default());
    for customer in 0..5_000 {
        before.accept(&event(START_MS + customer as i64, customer, 1, 100));
    }
    let limits = ProfileLimits { customers_max: 64, counterparties_max: 64, levels_max: 64 };
    let after = Profiles::restore(&before.snapshot(), limits).unwrap();
    assert!(after.customers() <= 64);
    assert_eq!(see(&after, &event(START_MS, 4_999, 1, 1)).count("history"), 1);
}

#[test]
fn bad_snapshots_are_refused_by_name() {
    let good = lived().snapshot();
    let refused = |bytes: &[u8]| Profiles::restore(bytes, ProfileLimits::default()).err();
    assert_eq!(refused(b"something else"), Some(SnapshotError::UnknownFormat));
    assert_eq!(refused(&good[..10]), Some(SnapshotError::Truncated));
    assert_eq!(refused(&good[..good.len() - 1]), Some(SnapshotError::ChecksumMismatch));
    let mut version = good.clone();
    version[8] = 9;
    assert_eq!(refused(&version), Some(SnapshotError::UnknownVersion(9)));
    for at in (12..good.len()).step_by(997) {
        let mut altered = good.clone();
        altered[at] ^= 0x40;
        assert_eq!(refused(&altered), Some(SnapshotError::ChecksumMismatch), "byte {at}");
    }
}

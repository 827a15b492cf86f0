use super::*;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_750_000_000_000;

fn event(at_ms: i64, customer: u64, payee: u64, amount_minor: i64) -> TransferEvent {
    TransferEvent {
        at_ms,
        customer,
        payee,
        device: Some(customer),
        amount_minor,
        currency: *b"EUR",
        session_age_s: Some(300),
        auth_age_s: Some(300),
        utc_offset_min: 60,
    }
}

#[test]
fn a_view_is_what_was_accepted_before() {
    let profiles = Profiles::new(ProfileLimits::default());
    for (days, payee, amount) in [(0, 7, 1_000), (5, 7, 2_000), (29, 8, 4_000)] {
        profiles.accept(&event(START_MS + days * DAY_MS, 1, payee, amount));
    }
    let view = profiles.view(&event(START_MS + 30 * DAY_MS - 1, 1, 7, 1));
    assert_eq!(view.counts, [0, 1, 1, 3]);
    assert_eq!(view.sums_cents, [0, 4_000, 4_000, 7_000]);
    assert_eq!((view.accepted_total, view.times_paid, view.new_payees_1d), (3, 2, 1));
    assert_eq!(view.max_30d_cents, 4_000);
    assert_eq!(view.since_last_ms, Some(DAY_MS - 1));
    assert_eq!(view.device_known, Some(true));
    assert_eq!((view.payee_fan_in_1d, view.payee_fan_in_30d), (0, 1));
    let logs = [1_001f64.ln(), 2_001f64.ln(), 4_001f64.ln()];
    let mean = logs.iter().sum::<f64>() / 3.0;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / 3.0;
    assert!((view.log_cents_mean - mean).abs() < 1e-12);
    assert!((view.log_cents_sd - variance.sqrt()).abs() < 1e-12);
    let later = profiles.view(&event(START_MS + 90 * DAY_MS, 1, 7, 1));
    assert_eq!((later.counts, later.sums_cents), ([0; 4], [0; 4]));
}

#[test]
fn looking_and_asking_teach_no_norm() {
    let profiles = Profiles::new(ProfileLimits::default());
    let asked = event(START_MS, 1, 2, 5_000_000);
    assert_eq!(profiles.view(&asked), ProfileView { device_known: Some(false), ..ProfileView::default() });
    assert_eq!(profiles.customers(), 0);
    for second in 0..5 {
        profiles.attempt(&TransferEvent { at_ms: START_MS + second * 1_000, ..asked });
    }
    let view = profiles.view(&TransferEvent { at_ms: START_MS + 60_000, ..asked });
    assert_eq!((view.attempts_10m, view.unaccepted_1h, view.unaccepted_1d), (5, 5, 5));
    let later = profiles.view(&TransferEvent { at_ms: START_MS + 2 * 3_600_000, ..asked });
    assert_eq!((later.attempts_10m, later.unaccepted_1h, later.unaccepted_1d), (0, 0, 5));
    assert_eq!((view.accepted_total, view.times_paid, view.log_cents_mean), (0, 0, 0.0));
    assert_eq!((profiles.payees(), view.payee_fan_in_30d), (0, 0));
}

#[test]
fn hours_of_day_become_a_habit_around_midnight_too() {
    let profiles = Profiles::new(ProfileLimits::default());
    let midnight = START_MS - START_MS.rem_euclid(DAY_MS) - 3_600_000;
    for day in 0..10 {
        profiles.accept(&event(midnight + day * DAY_MS, 1, 2, 100));
    }
    for (hour, share) in [(0, 1.0), (1, 1.0), (23, 1.0), (2, 0.0), (12, 0.0)] {
        let view = profiles.view(&event(midnight + 10 * DAY_MS + hour * 3_600_000, 1, 2, 100));
        assert_eq!(view.hour_share, share, "hour {hour}");
    }
}

#[test]
fn fan_in_counts_customers_not_transfers() {
    let profiles = Profiles::new(ProfileLimits::default());
    for customer in 0..40 {
        for _ in 0..3 {
            profiles.accept(&event(START_MS + customer as i64 * 3_600_000, customer, 99, 100));
        }
    }
    let view = profiles.view(&event(START_MS + 39 * 3_600_000, 1_000, 99, 100));
    assert_eq!(view.payee_fan_in_30d, payee::PAYERS_MAX as u32);
    assert_eq!(view.payee_fan_in_1d, 24);
}

#[test]
fn no_device_is_new_where_none_is_on_record() {
    let profiles = Profiles::new(ProfileLimits::default());
    let asked = TransferEvent { device: Some(5), ..event(START_MS + 2, 1, 2, 100) };
    profiles.accept(&TransferEvent { device: None, ..event(START_MS, 1, 2, 100) });
    assert_eq!(profiles.view(&asked).device_known, None);
    profiles.accept(&TransferEvent { device: Some(4), ..event(START_MS + 1, 1, 2, 100) });
    assert_eq!(profiles.view(&asked).device_known, Some(false));
}

#[test]
fn memory_is_bounded_and_the_idle_go_first() {
    let limits = ProfileLimits { customers_max: 640, payees_max: 640 };
    let profiles = Profiles::new(limits);
    for customer in 0..20_000u64 {
        profiles.accept(&event(START_MS + customer as i64, customer, customer, 100));
        profiles.accept(&event(START_MS + customer as i64, u64::MAX, u64::MAX, 100));
    }
    assert!(profiles.customers() <= 640 && profiles.payees() <= 640);
    assert_eq!(profiles.view(&event(START_MS, u64::MAX, 1, 1)).accepted_total, 20_000);
    assert_eq!(profiles.view(&event(START_MS, 0, 1, 1)).accepted_total, 0);
}

#[test]
fn one_busy_customer_stays_small() {
    let profiles = Profiles::new(ProfileLimits::default());
    for n in 0..50_000u64 {
        profiles.attempt(&event(START_MS + n as i64 * 7_000, 1, n, 100));
        profiles.accept(&event(START_MS + n as i64 * 7_000, 1, 7, 100));
    }
    assert!(profiles.state_bytes() < 8 * 1024, "{} bytes", profiles.state_bytes());
}

#[test]
fn concurrent_updates_are_all_counted() {
    let profiles = Arc::new(Profiles::new(ProfileLimits::default()));
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let profiles = profiles.clone();
            std::thread::spawn(move || {
                for n in 0..500 {
                    let mine = event(START_MS + n, n as u64 % 3, 50 + thread, 100);
                    profiles.attempt(&mine);
                    profiles.accept(&mine);
                    profiles.view(&mine);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let views: Vec<_> =
        (0..3).map(|customer| profiles.view(&event(START_MS + 500, customer, 50, 1))).collect();
    assert_eq!(views.iter().map(|view| view.accepted_total).sum::<u32>(), 4_000);
    assert_eq!(views.iter().map(|view| view.counts[3]).sum::<u32>(), 4_000);
    assert_eq!(views.iter().map(|view| view.sums_cents[3]).sum::<i64>(), 400_000);
    assert_eq!(views.iter().map(|view| view.unaccepted_1d).sum::<u32>(), 0);
    assert_eq!(views.iter().map(|view| view.payee_fan_in_30d).max(), Some(3));
}

fn lived() -> Profiles {
    let profiles = Profiles::new(ProfileLimits::default());
    for n in 0..2_000i64 {
        let customer = (n * 7 % 31) as u64;
        let mine = event(START_MS + n * 1_800_000, customer, (n * 5 % 17) as u64, 100 + n);
        profiles.attempt(&mine);
        if n % 5 != 0 {
            profiles.accept(&mine);
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
        assert_eq!(after.view(&mine), before.view(&mine));
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
    let after =
        Profiles::restore(&before.snapshot(), ProfileLimits { customers_max: 64, payees_max: 64 }).unwrap();
    assert!(after.customers() <= 64);
    assert_eq!(after.view(&event(START_MS, 4_999, 1, 1)).accepted_total, 1);
}

#[test]
fn bad_snapshots_are_refused_by_name() {
    let good = lived().snapshot();
    let limits = ProfileLimits::default();
    let refused = |bytes: &[u8]| Profiles::restore(bytes, limits).err();
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

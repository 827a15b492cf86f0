//! Properties that hold for every controller and whatever it is fed.

use proptest::prelude::*;

use super::*;

fn any_figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.001..5_000.0_f64,
        1 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.0),
        1 => Just(3_600_000.0),
        1 => any::<f64>(),
    ]
}

fn any_allocation() -> impl Strategy<Value = Allocation> {
    let split = [any_figure(), any_figure(), any_figure(), any_figure()];
    (any_figure(), split, any::<[u16; 4]>()).prop_map(|(limit, split, waits)| Allocation {
        limit,
        split: PerClass(split),
        queue_deadline_ms: PerClass(waits),
    })
}

fn any_count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0..200_u32, 1 => Just(0), 1 => Just(u32::MAX)]
}

fn any_class() -> impl Strategy<Value = ClassObservation> {
    (any_count(), any_count(), any_count(), any_count(), any_count(), any_figure()).prop_map(
        |(arrivals, shed, completions, within_target, failures, latency_ms)| ClassObservation {
            arrivals,
            admitted: arrivals.saturating_sub(shed),
            shed,
            completions,
            within_target,
            failures,
            in_flight: completions % 100,
            queued: shed % 50,
            latency_mean_ms: latency_ms,
            latency_p50_ms: latency_ms,
            latency_p95_ms: latency_ms,
        },
    )
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let classes = [any_class(), any_class(), any_class(), any_class()];
    (any_figure(), any_figure(), any_count(), classes).prop_map(|(dt_s, limit, in_flight_peak, classes)| {
        Observation { dt_s, limit, in_flight_peak, classes: PerClass(classes) }
    })
}

fn assert_within(rails: &Rails, before: &Allocation, after: &Allocation) {
    assert!(after.limit >= rails.limit_min && after.limit <= rails.limit_max, "{after:?}");
    let grown = (before.limit * rails.growth_max).max(before.limit + 1.0);
    let shrunk = (before.limit * rails.shrink_max).min(before.limit - 1.0);
    assert!(after.limit <= grown + 1e-9 && after.limit >= shrunk - 1e-9, "{before:?} to {after:?}");
    let [money, reads, anonymous, suspicious] = after.split.0;
    assert!(money == 1.0 && reads <= money && anonymous <= reads && suspicious <= anonymous, "{after:?}");
    assert!(suspicious >= 0.0, "{after:?}");
    assert!(after.queue_deadline_ms.0.iter().all(|wait| *wait <= rails.queue_deadline_max_ms), "{after:?}");
}

fn assert_floors(plane: &Plane<()>) {
    for class in Class::ALL {
        assert!(plane.floors().get(class) >= 1, "{class:?} has a floor");
        let key = FairKey(class as u64);
        assert!(
            matches!(plane.offer(class, key, 0, || ()), Offer::Admitted),
            "{class:?} is let onto its floor"
        );
    }
    for class in Class::ALL {
        let _nobody_waits = plane.release(class, FairKey(class as u64), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rails_hold_whatever_is_asked_for(wanted in prop::collection::vec(any_allocation(), 1..20)) {
        let rails = Rails::default().checked();
        let mut now = rails.confine(&Allocation::of_limit(32.0), &Allocation::of_limit(32.0));
        for asked in &wanted {
            let next = rails.confine(&now, asked);
            assert_within(&rails, &now, &next);
            now = next;
        }
    }

    #[test]
    fn rails_make_sense_whatever_is_configured(
        limits in [any_figure(), any_figure(), any_figure(), any_figure()],
        floor in [any_figure(), any_figure(), any_figure(), any_figure()],
    ) {
        let [limit_min, limit_max, growth_max, shrink_max] = limits;
        let raw = Rails { limit_min, limit_max, growth_max, shrink_max, floor: PerClass(floor), queue_deadline_max_ms: 100 };
        let rails = raw.checked();
        prop_assert!(rails.limit_min >= 1.0 && rails.limit_min <= rails.limit_max);
        prop_assert!(rails.limit_max <= Rails::LIMIT_CEILING);
        prop_assert!(rails.floor.0.iter().sum::<f64>() <= Rails::FLOOR_SUM_MAX + 1e-9);
        prop_assert_eq!(rails, rails.checked());
    }

    #[test]
    fn no_controller_leaves_the_rails_on_garbage(seen in prop::collection::vec(any_observation(), 1..60)) {
        for controller in ControllerKind::ALL {
            let config = CapacityConfig { controller, limit: 32.0, ..CapacityConfig::default() };
            let mut control_loop = ControlLoop::new(config.controller(None), config.rails, config.initial());
            let plane = Plane::new(config.plane, control_loop.rails(), control_loop.allocation());
            for (tick, observation) in seen.iter().enumerate() {
                let before = *control_loop.allocation();
                let after = control_loop.decide_on_record(observation, tick as i64);
                assert_within(control_loop.rails(), &before, &after);
                let _nobody_waits = plane.apply(&after, 0);
                assert_floors(&plane);
            }
        }
    }
}

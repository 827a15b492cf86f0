use super::actions::{LIMIT_ACTIONS, USUAL_LIMIT_ACTION};
use super::signals::{LIMIT_SIGNALS, SPLIT_SIGNALS, states};
use super::*;
use crate::capacity::gradient2::{Gradient2, GradientSettings};
use crate::capacity::{Allocation, Controller, Mode, Observation, PerClass};

const SHIPPED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/capacity/q-learning.json"));

fn shipped() -> Artifact {
    Artifact::from_text(SHIPPED).unwrap()
}

fn agent(table: Artifact, learning: Learning) -> QLearning {
    QLearning::new(QSettings::default(), Allocation::of_limit(32.0), table, learning, 7)
}

/// A tick in which each class but the suspicious one asked 40 times, with this latency and share of late answers.
fn tick(limit: f64, latency_ms: f64, late: f64) -> Observation {
    let class = |asked: u32| ClassObservation {
        arrivals: asked,
        admitted: asked,
        completions: asked,
        within_target: (f64::from(asked) * (1.0 - late)) as u32,
        in_flight: 8,
        latency_mean_ms: latency_ms,
        latency_p50_ms: latency_ms,
        latency_p95_ms: latency_ms,
        ..ClassObservation::default()
    };
    Observation {
        dt_s: 0.2,
        limit,
        in_flight_peak: limit as u32,
        classes: PerClass([class(40), class(40), class(40), class(0)]),
    }
}

/// A table that has seen every state often and thinks action `limit` and action 0 of the splits best; it expects
/// `reward` everywhere.
fn convinced(limit: usize, reward: f64) -> Artifact {
    let mut artifact = Artifact::empty();
    for (table, count, best) in [
        (&mut artifact.limit, states(&LIMIT_SIGNALS), limit),
        (&mut artifact.split, states(&SPLIT_SIGNALS), 0),
    ] {
        for state in 0..count {
            let row = table.row_mut(state).unwrap();
            row.visits.fill(1_000);
            row.values.fill(1.0);
            row.values[best] = 2.0;
            row.reward = reward;
        }
    }
    artifact
}

#[test]
fn knowing_nothing_it_is_the_gradient_controller() {
    let mut learner = agent(Artifact::empty(), Learning::Off);
    let mut gradient = Gradient2::new(GradientSettings::default(), 32.0);
    let mut limit = 32.0;
    for step in 0..200 {
        let seen = tick(limit, if step < 50 { 20.0 } else { 60.0 }, 0.0);
        let allocation = learner.tick(&seen);
        assert_eq!(allocation, gradient.tick(&seen), "tick {step}");
        limit = allocation.limit;
    }
    let explanation = learner.explain();
    assert!(explanation.fallback && explanation.reason.contains("fall-back"), "{explanation:?}");
}

#[test]
fn knowing_enough_it_does_what_its_table_says_and_explains_it() {
    let generous = LIMIT_ACTIONS.len() - 1;
    let mut learner = agent(convinced(generous, 0.9), Learning::Off);
    for _ in 0..20 {
        learner.tick(&tick(32.0, 20.0, 0.0));
    }
    let explanation = learner.explain();
    assert!(!explanation.fallback, "{explanation:?}");
    assert!(explanation.action.contains(LIMIT_ACTIONS[generous].name), "{}", explanation.action);
    assert!(explanation.state.contains("latency 1.00 times normal"), "{}", explanation.state);
    assert_eq!(explanation.q_values.len(), 2);
    assert_eq!(explanation.q_values[0].visits, 5_000);
    assert!(explanation.reward.unwrap() > 0.9);
}

#[test]
fn when_rewards_fall_away_the_fall_back_takes_over_and_says_so() {
    let mut learner = agent(convinced(LIMIT_ACTIONS.len() - 1, 0.95), Learning::Online);
    let fell_back = |learner: &mut QLearning, late: f64| {
        let mut count = 0;
        for _ in 0..300 {
            learner.tick(&tick(32.0, 20.0, late));
            count += u32::from(learner.explain().reason.contains("long-run mean"));
        }
        count
    };
    assert_eq!(fell_back(&mut learner, 0.0), 0, "as good as ever");
    assert!(fell_back(&mut learner, 0.9) > 50, "nine of ten answers are late");
}

#[test]
fn the_operator_overrules_it() {
    let mut learner = agent(shipped(), Learning::Online);
    let before = learner.tick(&tick(32.0, 20.0, 0.0));
    assert!(learner.set_mode(Mode::Freeze));
    for latency_ms in [20.0, 200.0, 2_000.0] {
        assert_eq!(learner.tick(&tick(before.limit, latency_ms, 0.5)), before, "frozen");
    }
    learner.set_mode(Mode::Static);
    assert_eq!(learner.tick(&tick(40.0, 200.0, 0.5)), Allocation::of_limit(32.0));
    learner.set_mode(Mode::Gradient);
    learner.tick(&tick(40.0, 200.0, 0.5));
    assert!(learner.explain().action.contains(LIMIT_ACTIONS[USUAL_LIMIT_ACTION].name));
    assert_eq!(learner.mode(), Some(Mode::Gradient));
    assert_eq!(learner.learnt(), &shipped(), "it learns nothing while it does not decide");
}

#[test]
fn nobody_teaches_it_far_from_what_was_shipped() {
    let anchor = shipped();
    let mut learner = agent(anchor.clone(), Learning::Online);
    for step in 0..30_000_u32 {
        // Pulses of bad and good seconds, in phase with the choices.
        let bad = step / 3 % 2 == 0;
        learner.tick(&tick(32.0, if bad { 400.0 } else { 15.0 }, if bad { 1.0 } else { 0.0 }));
    }
    let leash = QSettings::default().leash + 1e-9;
    for (learnt, shipped) in
        [(&learner.learnt().limit, &anchor.limit), (&learner.learnt().split, &anchor.split)]
    {
        let moved: Vec<f64> = learnt
            .rows()
            .zip(shipped.rows())
            .flat_map(|(now, then)| now.values.iter().zip(&then.values).map(|(now, then)| (now - then).abs()))
            .collect();
        assert!(moved.iter().all(|by| *by <= leash), "{moved:?}");
        assert!(moved.iter().any(|by| *by > 0.0), "it does learn");
    }
}

#[test]
fn a_day_without_traffic_and_a_jumping_clock_teach_nothing() {
    let mut learner = agent(shipped(), Learning::Online);
    for dt_s in [0.2, 0.0, -5.0, f64::NAN, 86_400.0] {
        for _ in 0..100 {
            let allocation = learner.tick(&Observation { dt_s, limit: 32.0, ..Observation::default() });
            assert!((1.0..=64.0).contains(&allocation.limit), "{allocation:?}");
        }
    }
    assert_eq!(learner.learnt(), &shipped());
}

#[test]
fn the_same_seed_makes_the_same_choices() {
    let play = || {
        let mut learner = agent(shipped(), Learning::Training { exploration: 0.5 });
        let allocations: Vec<Allocation> =
            (0..500).map(|step| learner.tick(&tick(32.0, 20.0 + f64::from(step % 40), 0.1))).collect();
        (allocations, learner.save())
    };
    assert_eq!(play(), play());
}

#[test]
fn the_shipped_table_knows_floods_and_slow_upstreams() {
    let table = shipped();
    let well_known = |table: &Table| table.rows().filter(|row| row.visits() >= 200).count();
    assert!(well_known(&table.limit) >= 30, "{}", well_known(&table.limit));
    assert!(well_known(&table.split) >= 20, "{}", well_known(&table.split));
    assert!(table.origin.scenarios.iter().any(|name| name == "flood"));
    assert!(!table.origin.scenarios.iter().any(|name| name == "detector-misses"), "only ever tested on");
}

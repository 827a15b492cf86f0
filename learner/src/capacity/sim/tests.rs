use std::path::Path;

use super::*;
use crate::capacity::q_learning::Artifact;

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/scenarios");
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/models/capacity/q-learning.json");

/// The shipped scenarios on small upstreams, which take little time.
fn scenarios(names: &[&str]) -> Vec<Scenario> {
    let all = load_scenarios(Path::new(SCENARIOS)).unwrap();
    let wanted: Vec<Scenario> = all
        .into_iter()
        .filter(|scenario| names.contains(&scenario.name.as_str()))
        .map(|scenario| scenario.with_knee([8.0, 20.0]))
        .collect();
    assert_eq!(wanted.len(), names.len());
    wanted
}

fn shipped() -> Artifact {
    Artifact::from_text(&std::fs::read_to_string(TABLE).unwrap()).unwrap()
}

fn figures(scenario: &Scenario, controller: &str, plane: PlaneMode, seed: u64) -> Figures {
    let table = shipped();
    let contender = contender(controller, plane, Some(&table)).unwrap();
    let episode = scenario.draw(seed);
    run(&episode, (contender.make)(&episode), plane).figures
}

#[test]
fn every_shipped_scenario_is_read_and_draws_an_episode() {
    let all = load_scenarios(Path::new(SCENARIOS)).unwrap();
    assert!(all.iter().filter(|scenario| scenario.family == Family::Trained).count() >= 9);
    assert!(all.iter().filter(|scenario| scenario.family == Family::Unseen).count() >= 6);
    for scenario in &all {
        let episode = scenario.draw(1);
        assert!((8.0..=128.0).contains(&episode.knee), "{}", scenario.name);
        assert!(!scenario.about.is_empty());
    }
}

#[test]
fn scenarios_that_make_no_sense_are_refused() {
    let good = std::fs::read_to_string(Path::new(SCENARIOS).join("flood.toml")).unwrap();
    assert!(Scenario::parse(&good, "flood.toml").is_ok());
    for (from, to, said) in [
        ("duration_s = 100.0", "duration_s = -1.0", "duration_s"),
        ("duration_s = 100.0", "duration_s = nan", "duration_s"),
        ("recognised = [0.75, 0.95]", "recognised = [0.95, 0.75]", "recognised"),
        ("recognised = [0.75, 0.95]", "recognized = [0.75, 0.95]", "unknown field"),
        ("mix = [0.0, 0.7, 0.3]", "mix = [0.0, 0.0, 0.0]", "mix"),
        ("times = [20.0, 20.0]", "times = [20.0, 1e9]", "times"),
    ] {
        let error = Scenario::parse(&good.replace(from, to), "flood.toml").unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_run_is_decided_by_its_seed() {
    let [flood] = scenarios(&["flood"]).try_into().unwrap();
    for controller in ["gradient2", "q-learning"] {
        let text = |seed| serde_json::to_string(&figures(&flood, controller, PlaneMode::Own, seed)).unwrap();
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }
}

#[test]
fn without_trouble_nobody_is_turned_away() {
    let [calm] = scenarios(&["calm"]).try_into().unwrap();
    for controller in ["none", "oracle", "gradient2", "q-learning"] {
        let figures = figures(&calm, controller, PlaneMode::Own, 5);
        assert!(figures.goodput > 0.98, "{controller}: {figures:?}");
    }
}

#[test]
fn a_flood_breaks_an_open_upstream_and_not_a_guarded_one() {
    let [flood] = scenarios(&["flood"]).try_into().unwrap();
    let open = figures(&flood, "none", PlaneMode::Blind, 6);
    assert!(open.goodput < 0.3, "{open:?}");
    for controller in ["gradient2", "q-learning"] {
        let guarded = figures(&flood, controller, PlaneMode::Own, 6);
        assert!(guarded.kinds["transfer"].goodput > 0.9, "{controller}: {guarded:?}");
        assert!(guarded.kinds["login"].goodput > 0.5, "{controller} starves nobody: {guarded:?}");
    }
    let blind = figures(&flood, "gradient2", PlaneMode::Blind, 6);
    assert!(blind.goodput < 0.7, "one blind limit cannot tell customers from the flood: {blind:?}");
}

#[test]
fn the_comparison_tells_means_with_their_intervals() {
    let calm = scenarios(&["calm"]);
    let contenders = [contender("none", PlaneMode::Blind, None).unwrap()];
    let rows = compare(&calm, &contenders, 1..4, |_| {});
    let row = serde_json::to_value(&rows[0]).unwrap();
    for field in [
        "scenario",
        "controller",
        "plane",
        "seeds",
        "goodput",
        "goodput_weighted",
        "effective_ms",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "wrongful_shed",
        "timeouts",
        "mitigated_s",
        "recovered_s",
        "ci95",
    ] {
        assert!(row.get(field).is_some(), "{field}");
    }
    assert_eq!(row["seeds"], 3);
    assert!(contender("magic", PlaneMode::Own, None).is_none());
}

/// The learner against its peers on seeds it never saw; prints the means.
#[test]
fn the_shipped_learner_beats_static_limits_and_keeps_up_with_gradient2_on_unseen_seeds() {
    let table = shipped();
    let hard = ["flash-crowd", "flood", "slow-upstream", "capacity-loss", "pulse", "flood-and-capacity-loss"];
    let scenarios = scenarios(&hard);
    let means = |name: &str, plane: PlaneMode| {
        let contenders = [contender(name, plane, Some(&table)).unwrap()];
        let rows = compare(&scenarios, &contenders, 2_000_001..2_000_005, |_| {});
        let mean = |figure: fn(&Row) -> f64| rows.iter().map(figure).sum::<f64>() / rows.len() as f64;
        let (goodput, effective_ms) = (mean(|row| row.goodput_weighted), mean(|row| row.effective_ms));
        println!(
            "{name:10} {plane:?}: weighted goodput {goodput:.3}, effective response {effective_ms:.0} ms"
        );
        (goodput, effective_ms)
    };
    let as_shipped = means("static", PlaneMode::Blind);
    let fixed = means("static", PlaneMode::Own);
    let gradient = means("gradient2", PlaneMode::Own);
    let learner = means("q-learning", PlaneMode::Own);
    assert!(learner.0 > as_shipped.0 + 0.08 && learner.1 < as_shipped.1 * 0.65, "against one static limit");
    assert!(learner.0 > fixed.0 + 0.01 && learner.1 < fixed.1, "against a static limit lent the data plane");
    assert!(learner.0 > gradient.0 - 0.005 && learner.1 < gradient.1 * 1.02, "against its own fall-back");
}

use std::fs;

use super::super::record::hash_bytes;
use super::super::record::tests::judged;
use super::*;
use crate::clock::SystemClock;
use crate::habits;
use learner::behaviour::{Event, ProfileLimits, Profiles};
use learner::lifecycle::Baseline;

const SHIPPED: &[u8] = include_bytes!("../../../../configs/models/fraud/model.artifact");

fn open(data: &Path, on_label: Option<OnLabel>) -> Arc<Lifecycle> {
    with(Settings::default(), data, on_label)
}

fn with(settings: Settings, data: &Path, on_label: Option<OnLabel>) -> Arc<Lifecycle> {
    let metrics = ModelMetrics::new(&prometheus::Registry::new()).unwrap();
    Lifecycle::open(settings, data, Arc::new(SystemClock), metrics, on_label).unwrap()
}

/// The shipped artifact with another manifest: as good as another model.
fn other(seed: u64) -> Vec<u8> {
    let text = String::from_utf8(SHIPPED.to_vec()).unwrap();
    let (_, body) = text.split_once('\n').unwrap();
    let mut value: serde_json::Value = serde_json::from_str(body).unwrap();
    value["manifest"]["seed"] = seed.into();
    let artifact: artifact::Artifact<serde_json::Value> = serde_json::from_value(value).unwrap();
    artifact::to_bytes(artifact::Kind::Fraud, &artifact).unwrap()
}

#[test]
fn drift_is_measured_against_the_training_part_that_an_artifact_came_with() {
    let data = tempfile::tempdir().unwrap();
    let mut model: artifact::Artifact<serde_json::Value> =
        artifact::from_bytes(SHIPPED, artifact::Kind::Fraud, transfer::schema().hash()).unwrap();
    let names = Model::from_bytes(SHIPPED).unwrap().names().to_vec();
    let row = vec![0.5; names.len()];
    let rows: Vec<(&[f32], f64)> = vec![(&row, 0.1); 700];
    model.manifest.baseline = Some(Baseline::learn(names, &rows));
    let bytes = artifact::to_bytes(artifact::Kind::Fraud, &model).unwrap();
    let life = open(data.path(), None);
    life.in_force(Some(&bytes)).unwrap();
    life.look_around();
    assert_eq!(life.status().drift_against.as_deref(), Some("its 700 training rows"));
    let digest = hash_bytes(&artifact::digest(&bytes));
    let now = u128::try_from(life.clock.now_ms()).unwrap() << 80;
    for n in 0..600 {
        life.record(Judged { model: digest, vector: row.clone(), probability: 0.9, ..judged(now | n) });
    }
    life.recorder.flush();
    let drift = life.status().drift.unwrap();
    assert!(drift.score > 1.0 && drift.features.iter().all(|one| one.psi < 0.01), "at once: {drift:?}");
}

/// Makes `bytes` the challenger, as training would.
fn challenge(life: &Lifecycle, bytes: &[u8]) -> String {
    let digest = artifact::digest(bytes);
    let card = Card {
        digest: digest.clone(),
        origin: Origin::Trained,
        made_ms: 1,
        challenger: None,
        training: None,
        reference: None,
    };
    life.store.keep(bytes, &card).unwrap();
    let changed = life.change(|state| {
        state.challenger = Some(digest.clone());
        Ok(())
    });
    changed.unwrap();
    digest
}

#[test]
fn a_promotion_takes_two_people_and_each_step_once() {
    let data = tempfile::tempdir().unwrap();
    let life = open(data.path(), None);
    assert_eq!(life.in_force(Some(SHIPPED)).as_deref(), Some(SHIPPED));
    let senseless =
        |found: Result<(), Refused>| assert!(matches!(found, Err(Refused::Senseless(_))), "{found:?}");
    senseless(life.propose(life.state().revision, "olivia").map(drop));
    let new = other(77);
    let digest = challenge(&life, &new);
    let seen = life.state().revision;
    senseless(life.approve(seen, "petra").map(drop));
    let proposed = life.propose(seen, "olivia").unwrap();
    assert_eq!(life.propose(seen, "olivia"), Err(Refused::Changed), "told again");
    senseless(life.propose(proposed.revision, "oskar").map(drop));
    assert_eq!(life.approve(proposed.revision, "olivia"), Err(Refused::OwnProposal));
    assert_eq!(life.approve(seen, "petra"), Err(Refused::Changed));
    assert_eq!(life.approve(proposed.revision, "petra").unwrap(), new);
    assert_eq!(life.approve(proposed.revision, "petra"), Err(Refused::Changed), "told again");
    let state = life.state();
    assert_eq!((state.champion.as_ref(), &state.challenger), (Some(&digest), &None));

    life.close();
    drop(life);
    let life = open(data.path(), None);
    assert_eq!(life.in_force(Some(SHIPPED)).unwrap(), new, "promoted for good");
    let served = artifact::digest(SHIPPED);
    assert_eq!(life.roll_back(None, Some(&served)), Err(Refused::Changed), "not yet");
    assert_eq!(life.roll_back(None, Some(&digest)).unwrap(), SHIPPED);
    let state = life.state();
    assert_eq!(state.challenger.as_ref(), Some(&digest), "what was in force is watched on");
    assert_eq!(state.displaced, std::slice::from_ref(&digest));
    assert_eq!(life.roll_back(None, Some(&digest)), Err(Refused::Changed), "told again");
    senseless(life.roll_back(None, None).map(drop));
    assert_eq!(life.in_force(Some(SHIPPED)).unwrap(), SHIPPED);
}

#[test]
fn a_broken_champion_is_passed_over_and_the_gateway_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("models").join(FRAUD);
    let [new, newer] = [other(77), other(78)];
    let promoted = |life: &Lifecycle, bytes: &[u8]| {
        challenge(life, bytes);
        let proposed = life.propose(life.state().revision, "olivia").unwrap();
        life.approve(proposed.revision, "petra").unwrap();
    };
    let life = open(data.path(), None);
    life.in_force(Some(SHIPPED)).unwrap();
    promoted(&life, &new);
    promoted(&life, &newer);
    life.close();
    drop(life);
    let file = |bytes: &[u8]| folder.join(format!("{}.artifact", artifact::digest(bytes)));
    fs::write(file(&newer), b"gatehouse-model 1 fraud 5 x\n").unwrap();
    let life = open(data.path(), None);
    assert_eq!(life.in_force(Some(SHIPPED)).unwrap(), new, "the one before it");
    assert!(
        life.falls_back() && life.refused()[0].contains(&artifact::digest(&newer)),
        "{:?}",
        life.refused()
    );
    fs::remove_file(file(&new)).unwrap();
    assert_eq!(life.in_force(Some(SHIPPED)).unwrap(), SHIPPED);
    assert_eq!(life.in_force(None).unwrap(), SHIPPED, "the configured file is gone, its copy serves");
    life.close();
    drop(life);
    let (key, state) = (data.path().join("keys").join("models.pem"), folder.join("state.signed"));
    let (whole_key, whole_state) = (fs::read(&key).unwrap(), fs::read(&state).unwrap());
    fs::write(&key, "no key").unwrap();
    let life = open(data.path(), None);
    assert_eq!(life.in_force(Some(SHIPPED)).unwrap(), SHIPPED, "nothing can be verified");
    assert!(life.falls_back());
    assert!(life.refused().iter().any(|said| said.contains("state.signed")), "{:?}", life.refused());
    assert_eq!(fs::read(&state).unwrap(), whole_state, "nor written over");
    life.close();
    drop(life);
    fs::write(&key, whole_key).unwrap();
    assert_eq!(open(data.path(), None).state().champion, Some(artifact::digest(&newer)), "and all is back");
    fs::write(&state, "no state").unwrap();
    let life = open(data.path(), None);
    assert_eq!(life.in_force(Some(SHIPPED)).unwrap(), SHIPPED);
    assert!(!life.falls_back());
    assert!(life.refused().iter().any(|said| said.contains("state.signed")), "{:?}", life.refused());
}

#[test]
fn another_configured_artifact_comes_into_force_and_can_be_rolled_back() {
    let data = tempfile::tempdir().unwrap();
    let life = open(data.path(), None);
    life.in_force(Some(SHIPPED)).unwrap();
    let deployed = other(79);
    assert_eq!(life.in_force(Some(&deployed)).unwrap(), deployed);
    assert_eq!(life.in_force(Some(&deployed)).unwrap(), deployed);
    assert_eq!(life.roll_back(None, None).unwrap(), SHIPPED);
    assert_eq!(life.in_force(Some(&deployed)).unwrap(), SHIPPED, "a restart does not undo a rollback");
}

/// A clock that a test sets.
struct Hands(std::sync::atomic::AtomicI64);

impl Clock for Hands {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

const DAY: i64 = 86_400_000;

#[test]
fn labels_meet_vectors_and_profiles_learn_after_the_delay_and_unlearn() {
    let data = tempfile::tempdir().unwrap();
    let profiles = Arc::new(Profiles::new(ProfileLimits::default()));
    let clock = Arc::new(Hands((1_000 * DAY).into()));
    let id = |n: u128| (u128::try_from(1_000 * DAY).unwrap() << 80) | n;
    let transfer = Judged { vector: vec![0.5; transfer::schema().columns().len()], ..judged(id(1)) };
    // Opened anew before each step, as by a restart.
    let open = || {
        let taught = Arc::clone(&profiles);
        let tell: OnLabel = Box::new(move |judged, fraud| habits::learn_of_label(&taught, judged, fraud));
        let metrics = ModelMetrics::new(&prometheus::Registry::new()).unwrap();
        Lifecycle::open(Settings::default(), data.path(), Arc::clone(&clock) as _, metrics, Some(tell))
            .unwrap()
    };
    let event = |judged: &Judged, see: &dyn Fn(&Event<'_>)| {
        let categories: Vec<Option<u64>> = judged.categories.iter().copied().map(Some).collect();
        let [customer, payee] = judged.keys.map(Some);
        see(&Event {
            at_ms: judged.at_ms,
            customer,
            counterparty: payee,
            amount_cents: Some(judged.cents),
            utc_offset_min: 0,
            coordinates: None,
            categories: &categories,
            numbers: &[],
        });
    };
    event(&transfer, &|event| profiles.accept(event));
    let honest = profiles.snapshot();
    let label = |n, fraud| {
        (id(n), Label { fraud, known_ms: 5, source: Source::Upload, by: "ana".into(), taught: false })
    };
    let life = open();
    life.record(transfer.clone());
    life.record(Judged { accepted: false, ..judged(id(2)) });
    let batch = || vec![label(1, true), label(2, true), label(3, true)];
    let receipt = life.label(batch()).unwrap();
    assert_eq!((receipt.accepted, receipt.unchanged, &*receipt.unknown), (2, 0, &[id(3)][..]));
    assert_eq!(profiles.snapshot(), honest, "training does not know yet either");
    life.close();
    clock.0.fetch_add(7 * DAY, Ordering::Relaxed);
    open().teach();
    let fraudulent = profiles.snapshot();
    assert_ne!(fraudulent, honest, "told after its delay, over a restart");
    let receipt = open().label(batch()).unwrap();
    assert_eq!((receipt.accepted, receipt.unchanged), (2, 2));
    assert_eq!(profiles.snapshot(), fraudulent, "once; what was refused shapes no behaviour");
    let receipt = open().label(vec![label(1, false)]).unwrap();
    assert_eq!((receipt.accepted, receipt.replaced), (1, 1));
    assert_eq!(profiles.snapshot(), honest, "a label taken back was never there");
    open().teach();
    assert_eq!(profiles.snapshot(), honest, "nor is it taken back twice");
    for (fraud, wanted) in [(true, &fraudulent), (true, &fraudulent), (false, &honest), (true, &fraudulent)] {
        open().label(vec![label(1, fraud)]).unwrap();
        assert_eq!(&profiles.snapshot(), wanted, "labelled {fraud}");
    }
    let life = open();
    life.judged(&format!("{:032x}", id(9)), true, "ana", 5);
    assert_eq!(life.status().labels, (3, 3), "a case's decision is known to the gateway");
    life.judged("no decision", true, "ana", 5);
    assert_eq!(life.metrics.labels.with_label_values(&["accepted"]).get(), 1);
}

#[test]
fn a_log_that_forgets_before_labels_are_due_is_said() {
    let data = tempfile::tempdir().unwrap();
    let fill = |at_ms: i64, entries: u128| {
        let mut frames = Vec::new();
        let big = |n| Judged { vector: vec![0.0; 4_000], ..judged(n) };
        (0..entries).for_each(|n| record::write(&record::Entry::Judged(big(n)), &mut frames));
        let bounds = super::super::log::Bounds { bytes_max: 1 << 20, age_max_ms: i64::MAX };
        Writer::open(&data.path().join("vectors"), bounds).unwrap().append(&frames, at_ms).unwrap();
    };
    let small = Settings { vectors_mib_max: 1, ..Settings::default() };
    let life = with(small, data.path(), None);
    let now_ms = life.clock.now_ms();
    assert_eq!(life.hindrance(), None, "nothing came yet");
    fill(now_ms - 1_000, 1);
    assert_eq!(life.hindrance(), None, "there is room for more");
    fill(now_ms - 500, 64);
    assert!(life.status().hindrance.unwrap().contains("vectors_mib_max"));
    let patient = Settings { label_delay_days: 0, ..small };
    assert_eq!(with(patient, data.path(), None).hindrance(), None);
    let brief = Settings { vectors_days_max: 30, ..Settings::default() };
    assert!(with(brief, data.path(), None).hindrance().unwrap().contains("vectors_days_max"));
}

#[test]
fn a_training_noted_in_the_future_does_not_put_off_the_next() {
    let data = tempfile::tempdir().unwrap();
    let life = open(data.path(), None);
    let week = life.settings.retrain_every_ms().unwrap();
    let now_ms = 100 * week;
    let next = |retrained_ms| life.next_training_ms(&State { retrained_ms, ..State::default() }, now_ms);
    assert_eq!(next(None), None);
    assert_eq!(next(Some(now_ms - 5)), Some(now_ms - 5 + week));
    assert_eq!(next(Some(now_ms + 5)), Some(now_ms + 5 + week), "a clock that was put right by a little");
    assert_eq!(next(Some(now_ms + week + 1)), Some(now_ms), "a year ahead, say");
    assert_eq!(next(Some(i64::MAX)), Some(now_ms));
}

#[tokio::test]
async fn how_a_training_ended_or_that_it_was_lost_is_known_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let life = open(data.path(), None);
    life.in_force(Some(SHIPPED)).unwrap();
    let revision = life.state().revision;
    // Whatever this very program says to `retrain`, it is no model.
    let begun = life.retrain(None).unwrap();
    assert!(begun.since_ms.is_some() && begun.last.is_none());
    assert_eq!(life.state().revision, revision, "nobody who approves something now has to look again");
    let lost = open(data.path(), None).retraining();
    assert!(lost.since_ms.is_none() && !lost.last.unwrap().said.is_empty(), "killed meanwhile");
    while life.retraining().since_ms.is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let ended = life.retraining();
    assert!(ended.last.is_some());
    let noted = || life.store.training().unwrap() == ended;
    while !noted() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    life.close();
    assert_eq!(open(data.path(), None).retraining(), ended);
    let note = data.path().join("models/fraud/training.signed");
    fs::write(&note, "broken").unwrap();
    let life = open(data.path(), None);
    assert_eq!(life.retraining(), Retraining::default());
    assert!(life.refused().iter().any(|said| said.contains("training.signed")), "{:?}", life.refused());
}

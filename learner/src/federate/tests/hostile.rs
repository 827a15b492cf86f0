//! What a coordinator or a party that means harm tries, one attack a test.

use super::coordinator::Vote;
use super::sum::{Answer, Next, SumCoordinator};
use super::*;

/// A state with these weights; the schema has three features, a flag and the intercept.
fn state(weights: [f64; 5]) -> State {
    let mut state = made_up();
    state.weights = weights.map(Real).to_vec();
    state
}

/// Weights with which a row's log odds are infinity less infinity.
fn overflowing() -> State {
    state([f64::MAX, -f64::MAX, 1.0, 1.0, 0.0])
}

/// Two customers of two rows at the upper bounds, where such weights overflow, and others in the middle.
fn table(customers: std::ops::Range<u64>) -> Table {
    let mut table = Table { frame: Frame::new(schema().names()), positive: Vec::new(), unit: None };
    for customer in customers {
        for row in 0..2 {
            let at = if customer < 20 { 3.0 } else { 0.1 };
            table.frame.push(&[at, at, at]);
            table.positive.push(row == 0);
            table.unit.get_or_insert_default().push(customer);
        }
    }
    table
}

#[test]
fn no_weights_let_a_unit_change_a_sum_by_more_than_the_clip() {
    let terms = private(2.0);
    for state in [overflowing(), state([1e308; 5]), state([1e9, -1e9, 1e9, -1e9, 1e9])] {
        let sum = |customers| {
            let mut bank = Bank::new(table(customers));
            fixed::decode(&fixed::encode(&bank.contribution(&terms, &schema(), &state, Purpose::Round(1))))
        };
        let (all, without) = (sum(0..60), sum(20..60));
        // Twenty units more.
        let change = all.iter().zip(&without).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(change <= 20.0 * terms.clip.0 + 1e-4, "{change}");
        assert!(without.iter().any(|sum| *sum != 0.0), "one bad row takes nothing from the others");
        assert!(all.iter().any(|sum| *sum != 0.0), "one bad row takes nothing from the others");
    }
}

#[test]
fn no_weights_let_a_unit_change_a_vote_by_more_than_its_bound() {
    let (terms, before) = (private(2.0), state([0.0; 5]));
    for after in [overflowing(), state([1e308; 5])] {
        let mut bank = Bank::new(table(0..60));
        let Comparison { rise, units, .. } = bank.compare(&terms, &schema(), &before, &after);
        assert!(
            units > 0 && rise > 0.0 && rise <= units as f64 * bank::VOTE_BOUND + 1e-9,
            "{rise} of {units}"
        );
        // Without noise there is no bound, and no such state is good.
        let rise = bank.compare(&averaging(), &schema(), &before, &after).rise;
        assert_eq!(rise, f64::INFINITY);
    }
}

#[test]
fn states_that_training_does_not_come_to_are_refused() {
    let begins = |state: State| {
        let mut ada = party("ada", Box::new(bank(0)));
        ada.handle(ToParty::Welcome { terms: Box::new(private(2.0)) }).unwrap();
        let begin = ToParty::Begin { sum: 1, purpose: Purpose::Round(1), state, decided: None };
        ada.handle(begin).map(|_| ())
    };
    assert_eq!(begins(made_up()), Ok(()));
    let with = |change: &dyn Fn(&mut State)| {
        let mut state = made_up();
        change(&mut state);
        state
    };
    let scaling =
        |change: &dyn Fn(&mut state::Scaling)| with(&|state| change(state.scaling.as_mut().unwrap()));
    for (what, state) in [
        ("weights that overflow", overflowing()),
        ("one weight", with(&|state| state.weights[1].0 = -1e308)),
        ("no number", with(&|state| state.weights[1].0 = f64::NAN)),
        ("a mean beyond the bounds", scaling(&|scaling| scaling.means[0].0 = -1e30)),
        ("no spread", scaling(&|scaling| scaling.spreads[0].0 = 1e-30)),
        ("a spread beyond the bounds", scaling(&|scaling| scaling.spreads[0].0 = 1e30)),
        ("hardly a unit", scaling(&|scaling| scaling.units.0 = 1e-300)),
    ] {
        assert!(matches!(begins(state), Err(Refusal::State(_))), "{what}");
    }
}

/// Ada's answers in an honest training up to the end of a sum, with the result that she was sent.
fn after_result(terms: Terms, of: u32) -> (Party, ToParty) {
    let mut parties = parties(4);
    let (mut coordinator, mut step) = begun(terms, &parties);
    loop {
        let mut said = None;
        for (name, message) in std::mem::take(&mut step.send) {
            let is_it = matches!(&message, ToParty::Result { commitment, .. } if commitment.sum == of);
            said = said.or_else(|| (is_it && name == "ada").then(|| message.clone()));
            if let Reply::Send(answer) = parties.get_mut(&name).unwrap().handle(message).unwrap() {
                coordinator.receive(&name, *answer).unwrap();
            }
        }
        if let Some(result) = said {
            return (parties.remove("ada").unwrap(), result);
        }
        step = coordinator.advance();
    }
}

#[test]
fn a_party_votes_once_on_a_sum() {
    // Each vote on the same sum would tell a little more about the rows that are held out.
    let (mut ada, result) = after_result(private(2.0), 3);
    for _ in 0..3 {
        assert_eq!(ada.handle(result.clone()), Err(Refusal::OutOfTurn("a result")));
    }
}

/// A training whose coordinator meddles with the last message to Ada, who misses answers as `fate` says: whether she holds
/// the model to be verified.
fn last_word(
    meddle: impl Fn(&mut ToParty),
    late: impl Fn(&str, &ToCoordinator) -> bool,
) -> Result<bool, Refusal> {
    let mut parties = parties(4);
    let (mut coordinator, mut step) = begun(averaging(), &parties);
    loop {
        for (name, mut message) in std::mem::take(&mut step.send) {
            let is_last = name == "ada" && matches!(message, ToParty::Finished { .. });
            if is_last {
                meddle(&mut message);
            }
            match parties.get_mut(&name).unwrap().handle(message) {
                Ok(Reply::Send(answer)) if !late(&name, &answer) => {
                    coordinator.receive(&name, *answer).unwrap();
                }
                Ok(Reply::Finished { verified, .. }) if is_last => return Ok(verified),
                Err(refusal) => return Err(refusal),
                Ok(_) => {}
            }
        }
        step = coordinator.advance();
    }
}

#[test]
fn a_party_keeps_no_last_model_that_nobody_voted_for() {
    let in_time = |_: &str, _: &ToCoordinator| false;
    assert_eq!(last_word(|_| {}, in_time), Ok(true));
    let other_state = |message: &mut ToParty| {
        if let ToParty::Finished { outcome, state, .. } = message {
            state.weights[0].0 += 1.0;
            outcome.state = state.digest();
        }
    };
    let why = last_word(other_state, in_time).unwrap_err().to_string();
    assert!(why.contains("neither the one before"), "{why}");
    let no_votes = |message: &mut ToParty| {
        if let ToParty::Finished { decided, .. } = message {
            decided.as_mut().unwrap().votes.truncate(1);
        }
    };
    let why = last_word(no_votes, in_time).unwrap_err().to_string();
    assert!(why.contains("no majority"), "{why}");
    // Who missed the last of the seven sums cannot know, and is told so.
    let misses = |name: &str, message: &ToCoordinator| {
        name == "ada" && matches!(message, ToCoordinator::Advert { sum: 7, .. })
    };
    assert_eq!(last_word(|_| {}, misses), Ok(false));
    // Cyd's vector is not in the last sum, so a vote of Cyd's, though rightly signed, is none.
    let dropped = |name: &str, message: &ToCoordinator| {
        name == "cyd" && matches!(message, ToCoordinator::Masked { sum: 7, .. })
    };
    assert_eq!(last_word(|_| {}, dropped), Ok(true));
    let strange_vote = |message: &mut ToParty| {
        if let ToParty::Finished { decided, .. } = message {
            let decided = decided.as_mut().unwrap();
            let signed = Simulated("cyd".into()).sign(&sum::vote_message(&decided.commitment, true)).unwrap();
            decided.votes[1] = Vote { name: "cyd".into(), accept: true, signature: Blob(signed) };
        }
    };
    let why = last_word(strange_vote, dropped).unwrap_err().to_string();
    assert!(why.contains("not in the sum"), "{why}");
}

/// One sum over some parties, all of whom answer, from a state that nobody checks against the one before.
fn summed(
    parties: &mut BTreeMap<String, Party>,
    terms: &Terms,
    (number, state): (u32, &State),
    names: &[&str],
) -> Result<(), Refusal> {
    let purpose = Purpose::Round(1);
    let context = party::context(&Digest::of_json(terms), number, purpose, &state.digest());
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let length = terms.length(purpose, &schema());
    let mut sum = SumCoordinator::new(number, context, length, 3, names.clone());
    let begin = ToParty::Begin { sum: number, purpose, state: state.clone(), decided: None };
    let mut messages: Vec<_> = names.into_iter().map(|name| (name, begin.clone())).collect();
    loop {
        for (name, message) in messages {
            let Reply::Send(answer) = parties.get_mut(&name).unwrap().handle(message)? else { panic!() };
            let answer = match *answer {
                ToCoordinator::Advert { advert, .. } => Answer::Advert(advert),
                ToCoordinator::Shares { seed, sealed, .. } => Answer::Shares(seed, sealed),
                ToCoordinator::Masked { values, unopened, .. } => Answer::Masked(values, unopened),
                ToCoordinator::Confirm { signature, .. } => Answer::Confirm(signature),
                ToCoordinator::Unmask { seeds, keys, .. } => Answer::Unmask(seeds, keys),
                other => panic!("{other:?}"),
            };
            sum.receive(&name, answer, &Simulated("coordinator".into())).unwrap();
        }
        match sum.advance().ok().unwrap() {
            Next::Send(next) => messages = next,
            Next::Done(_) => return Ok(()),
        }
    }
}

#[test]
fn sums_long_ago_are_not_forgotten() {
    let terms = Terms { leave_out: false, ..averaging() };
    let mut parties = parties(4);
    for party in parties.values_mut() {
        party.handle(ToParty::Welcome { terms: Box::new(terms.clone()) }).unwrap();
    }
    let (first, second) = (made_up(), state([0.1; 5]));
    // Over all four from one state twice, which says nothing new, then from another, then from the first again but for Dan.
    assert_eq!(summed(&mut parties, &terms, (1, &first), &NAMES[..4]), Ok(()));
    assert_eq!(summed(&mut parties, &terms, (3, &first), &NAMES[..4]), Ok(()));
    assert_eq!(summed(&mut parties, &terms, (5, &second), &NAMES[..4]), Ok(()));
    assert_eq!(summed(&mut parties, &terms, (7, &first), &NAMES[..3]), Err(Refusal::Differencing));
}

#[test]
fn a_sum_counts_once_vectors_have_left_the_parties() {
    let terms = private(2.0);
    let mut seated = parties(4);
    let begun = begun(terms.clone(), &seated);
    // All confirm the second round too late, so it is not opened; that the coordinator did not open it is its word.
    let played = play(begun, &mut seated, |_, message| match message {
        ToCoordinator::Confirm { sum: 3, .. } => Fate::Late,
        _ => Fate::Arrives,
    });
    let outcome = played.unwrap().outcome;
    assert_eq!((&outcome.end, outcome.opened), (&End::Complete, 31));
    let spent = terms.spent(terms::STATISTICS_RELEASES + 30 + 1).unwrap();
    assert_eq!(outcome.epsilon, Some(Real(spent)));
    for party in seated.values() {
        assert_eq!(party.epsilon_spent(), Some(spent));
    }
}

#[test]
fn reasons_are_short_and_plain() {
    let long = format!("\x1b[2J\n{}", "x".repeat(100_000));
    let played = played(averaging(), parties(4), |name, message| {
        if name == "bob" && step_of(message) == "advert" {
            *message = ToCoordinator::Refuse { reason: long.clone() };
        }
        Fate::Arrives
    });
    let reasons = played.records.iter().filter_map(|record| match record {
        Record::Gone { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let mut reasons: Vec<String> = reasons.chain(played.refused.get("bob").cloned()).collect();
    assert_eq!(reasons.len(), 2);
    let told = party("ada", Box::new(bank(0))).handle(ToParty::Refused { reason: long.clone() });
    reasons.push(told.unwrap_err().to_string());
    for reason in reasons {
        assert!(
            reason.len() < 250 && !reason.chars().any(char::is_control),
            "{} bytes: {reason:?}",
            reason.len()
        );
    }
}

#[test]
fn nothing_goes_on_record_after_the_end() {
    let seated: BTreeMap<_, _> = parties(4).into_iter().take(2).collect();
    let terms = averaging();
    let (mut coordinator, _) = begun(terms.clone(), &seated);
    for name in seated.keys() {
        coordinator.receive(name, ToCoordinator::Ready { terms: Digest::of_json(&terms) }).unwrap();
    }
    let last = coordinator.advance();
    assert!(matches!(last.records.last(), Some(Record::Closed(outcome)) if outcome.parties.len() == 2));
    assert_eq!(coordinator.lost("ada", "its connection ended").records, []);
}

/// The same rows in another order; without units.
fn reordered(table: &Table, order: impl Iterator<Item = usize>) -> Table {
    let order: Vec<usize> = order.collect();
    let positive = order.iter().map(|&at| table.positive[at]).collect();
    Table { frame: table.frame.select(&order), positive, unit: None }
}

#[test]
fn where_rows_are_by_themselves_their_order_says_nothing() {
    let rows = rows(60, 0.0, 3);
    let count = rows.positive.len();
    let twice = || (0..count).chain(0..count);
    let (forwards, backwards) = (reordered(&rows, twice()), reordered(&rows, twice().rev()));
    let (before, after) = (state([0.0; 5]), state([0.2; 5]));
    for terms in [averaging(), private(2.0)] {
        let of = |table: &Table| {
            let mut bank = Bank::new(table.clone());
            let purposes = [Purpose::Statistics, Purpose::Round(1)];
            let sums = purposes.map(|purpose| bank.contribution(&terms, &schema(), &before, purpose));
            (sums, bank.compare(&terms, &schema(), &before, &after))
        };
        assert_eq!(of(&forwards), of(&backwards));
        // Each row is held out or not together with its twin.
        assert_eq!(of(&forwards).1.units, 2 * of(&reordered(&rows, 0..count)).1.units);
    }
}

#[test]
fn a_sum_changes_by_a_units_own_vector_to_the_last_bit() {
    let (terms, state) = (private(2.0), state([0.3, -0.7, 0.1, 0.9, -2.0]));
    let all = rows(80, 0.2, 5);
    let unit = all.unit.clone().unwrap();
    for purpose in [Purpose::Statistics, Purpose::Round(1)] {
        let sum = |keeps: &dyn Fn(u64) -> bool| {
            let order: Vec<usize> = (0..unit.len()).filter(|&at| keeps(unit[at])).collect();
            let kept = order.iter().map(|&at| unit[at]).collect();
            let table = Table { unit: Some(kept), ..reordered(&all, order.into_iter()) };
            fixed::encode(&Bank::new(table).contribution(&terms, &schema(), &state, purpose))
        };
        let whole = sum(&|_| true);
        for customer in 0..80 {
            let (without, alone) = (sum(&|other| other != customer), sum(&|other| other == customer));
            let added: Vec<u64> = without.iter().zip(&alone).map(|(a, b)| a.wrapping_add(*b)).collect();
            assert_eq!(added, whole, "customer {customer}, {purpose:?}");
        }
    }
}

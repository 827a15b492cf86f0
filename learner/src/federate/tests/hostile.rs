//! What a coordinator or a party that means harm tries, one attack a test.

use super::*;

/// A state with these weights; the schema has three features, a flag and the intercept.
fn state(weights: [f64; 5]) -> State {
    State { weights: weights.map(Real).to_vec(), ..made_up() }
}

/// Weights with which a row's log odds are infinity less infinity.
fn overflowing() -> State {
    state([f64::MAX, -f64::MAX, 1.0, 1.0, 0.0])
}

/// Two customers of two rows at the upper bounds, where such weights overflow, and others in the middle.
fn table(customers: std::ops::Range<u64>) -> Table {
    let mut table = Table { frame: Frame::new(schema().names()), positive: Vec::new(), unit: Vec::new() };
    for customer in customers {
        for row in 0..2 {
            let at = if customer < 20 { 3.0 } else { 0.1 };
            table.frame.push(&[at, at, at]);
            table.positive.push(row == 0);
            table.unit.push(customer);
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
        assert!(units > 0 && rise > 0.0 && rise <= units as f64 * bank::VOTE_BOUND + 1e-9, "{rise} of {units}");
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
    let scaling = |change: &dyn Fn(&mut state::Scaling)| with(&|state| change(state.scaling.as_mut().unwrap()));
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
    late: impl Fn(&ToCoordinator) -> bool,
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
                Ok(Reply::Send(answer)) if !(name == "ada" && late(&answer)) => {
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
    let in_time = |_: &ToCoordinator| false;
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
    let misses = |message: &ToCoordinator| matches!(message, ToCoordinator::Advert { sum: 7, .. });
    assert_eq!(last_word(|_| {}, misses), Ok(false));
}

//! Transfers of a town over some months: everyday life, and fraud in it.

use super::Random;
use super::fraudsters;
use super::people::{Person, Town, cents, small};
use crate::train::data::RecordedTransfer;
use crate::transfer::TransferEvent;

pub(super) const DAY_MS: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z, a Wednesday; simulated time starts here.
pub(super) const START_MS: i64 = 1_735_689_600_000;

/// How much to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSettings {
    /// Everything random follows from it.
    pub seed: u64,
    /// Customers.
    pub customers: usize,
    /// Days from 2025-01-01 on.
    pub days: u32,
}

impl TransferSettings {
    /// The size that shipped models are trained on: about 90,000 transfers.
    pub fn full(seed: u64) -> Self {
        Self { seed, customers: 1_200, days: 150 }
    }

    /// Small enough for tests.
    pub fn small(seed: u64) -> Self {
        Self { seed, customers: 250, days: 90 }
    }
}

/// Transfers in time order, each labelled; about one in a hundred is fraud.
pub fn transfers(settings: TransferSettings) -> Vec<RecordedTransfer> {
    let mut random = Random::new(settings.seed);
    let mut town = Town::new(60 + settings.customers / 10, &mut random);
    let mut people: Vec<Person> = (0..settings.customers).map(|_| Person::new(&town, &mut random)).collect();
    let mut events = Vec::new();
    for day in 0..settings.days {
        let day_ms = START_MS + i64::from(day) * DAY_MS;
        town.a_day_passes(&mut random);
        for person in &mut people {
            live(person, &town, day, day_ms, &mut random, &mut events);
        }
        collect_for_a_club(&people, day_ms, &mut random, &mut events);
        fraudsters::strike(&people, &town, day_ms, &mut random, &mut events);
    }
    events.sort_by_key(|recorded| (recorded.event.at_ms, recorded.event.customer, recorded.event.payee));
    events
}

/// One customer's day.
fn live(
    person: &mut Person,
    town: &Town,
    day: u32,
    day_ms: i64,
    random: &mut Random,
    events: &mut Vec<RecordedTransfer>,
) {
    if u64::from(day % 30) == person.rent_day {
        let at_ms = day_ms + person.time_of_day_ms(random);
        let rent = event(person, at_ms, person.landlord, person.rent_cents, random);
        push(events, rent, true);
    }
    let weekend = if day % 7 >= 3 && day % 7 < 5 { 0.7 } else { 1.0 };
    let mut count = random.poisson(person.transfers_per_day * weekend);
    // Now and then somebody sits down and pays a pile of bills.
    let pile = random.chance(0.01);
    if pile {
        count += 3 + random.poisson(3.0);
    }
    let sitting_ms = day_ms + person.time_of_day_ms(random);
    for nth in 0..count {
        let at_ms = if pile {
            sitting_ms + i64::from(nth) * 70_000 + random.between(0, 40_000) as i64
        } else {
            day_ms + person.time_of_day_ms(random)
        };
        let new = random.chance(person.curiosity);
        let payee = match new {
            true if random.chance(0.55) => town.popular(random),
            true => random.identifier(),
            false => person.known_payee(random),
        };
        let large = random.chance(if new { 0.05 } else { 0.008 });
        let amount = match large {
            true => person.splurge(random),
            // Some try a new payee with a little first.
            false if new && random.chance(0.15) => small(random),
            false => person.amount(random),
        };
        let asked = event(person, at_ms, payee, amount, random);
        // Mistyped, not enough money, changed their mind: often asked again at once.
        if random.chance(0.02) {
            push(events, asked, false);
            let again = TransferEvent { at_ms: at_ms + random.between(20_000, 200_000) as i64, ..asked };
            push(events, again, true);
        } else {
            push(events, asked, true);
        }
        if new && random.chance(0.4) {
            person.payees.push(payee);
        }
    }
    // A new machine, or a new version of a browser.
    if random.chance(0.006) {
        person.devices.insert(0, town.device(random));
        person.devices.truncate(4);
    }
}

/// Somebody new collects the same sum from a dozen customers within a day: lawful, and looks like a mule.
fn collect_for_a_club(
    people: &[Person],
    day_ms: i64,
    random: &mut Random,
    events: &mut Vec<RecordedTransfer>,
) {
    if !random.chance(0.15) {
        return;
    }
    let payee = random.identifier();
    let fee = cents(super::people::round(random.lognormal(40.0, 0.6)));
    for _ in 0..4 + random.below(14) {
        let Some(person) = random.pick(people) else { return };
        let at_ms = day_ms + person.time_of_day_ms(random);
        let asked = event(person, at_ms, payee, fee, random);
        push(events, asked, true);
    }
}

/// A transfer as this person makes it, on an own device in an ordinary session.
pub(super) fn event(
    person: &Person,
    at_ms: i64,
    payee: u64,
    amount_minor: i64,
    random: &mut Random,
) -> TransferEvent {
    let session_age_s = person.session_age_s(random);
    let device = random.pick(&person.devices).copied();
    TransferEvent {
        at_ms,
        customer: person.id,
        payee,
        // Some browsers and API clients tell no device, some API clients have no session.
        device: if random.chance(0.08) { None } else { device },
        amount_minor: amount_minor.max(1),
        currency: *b"EUR",
        session_age_s: if random.chance(0.04) { None } else { Some(session_age_s) },
        auth_age_s: Some(
            session_age_s + if random.chance(0.2) { random.between(60, 90_000) as u32 } else { 5 },
        ),
        utc_offset_min: 0,
    }
}

fn push(events: &mut Vec<RecordedTransfer>, event: TransferEvent, accepted: bool) {
    events.push(RecordedTransfer { event, accepted, fraud: Some(false), scenario: None });
}

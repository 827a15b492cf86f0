//! Four ways of fraud, each overlapping with lawful life.

use super::Random;
use super::people::{Person, Town, cents, round};
use super::transfers::{DAY_MS, event};
use crate::train::data::RecordedTransfer;
use crate::transfer::TransferEvent;

type Events = Vec<RecordedTransfer>;

/// What fraudsters do on one day in a town; about one event in a hundred.
pub(super) fn strike(people: &[Person], town: &Town, day_ms: i64, random: &mut Random, events: &mut Events) {
    let scale = people.len() as f64 / 1_000.0;
    for _ in 0..random.poisson(1.1 * scale) {
        take_over((people, town), day_ms, random, events);
    }
    for _ in 0..random.poisson(0.16 * scale) {
        fan_in(people, day_ms, random, events);
    }
    for _ in 0..random.poisson(0.13 * scale) {
        test_cards((people, town), day_ms, random, events);
    }
    for _ in 0..random.poisson(0.18 * scale) {
        drain((people, town), day_ms, random, events);
    }
}

/// Account take-over: one to three transfers to a mule, larger than usual, often at night, often from a session and
/// a device that have only begun.
fn take_over((people, town): (&[Person], &Town), day_ms: i64, random: &mut Random, events: &mut Events) {
    let Some(person) = random.pick(people) else { return };
    let mule = mule(people, random);
    let mut at_ms = day_ms
        + if random.chance(0.4) {
            random.between(0, 5 * 3_600_000) as i64
        } else {
            person.time_of_day_ms(random)
        };
    let device = if random.chance(0.7) { Some(town.device(random)) } else { person.devices.first().copied() };
    let hasty = random.chance(0.6);
    for _ in 0..1 + random.poisson(0.6) {
        let ratio = random.lognormal(10.0, 1.0).clamp(0.8, 150.0);
        let amount = cents(round((person.usual * ratio).clamp(20.0, 15_000.0)));
        let mut asked = event(person, at_ms, mule, amount, random);
        asked.device = device;
        if hasty {
            let age_s = random.lognormal(50.0, 0.6).clamp(5.0, 900.0) as u32;
            asked.session_age_s = Some(age_s);
            asked.auth_age_s = Some(age_s);
        }
        // A limit refuses the first try now and then; the next is smaller.
        if random.chance(0.2) {
            push(events, TransferEvent { amount_minor: asked.amount_minor * 3, ..asked }, false, "take-over");
            asked.at_ms += random.between(20_000, 90_000) as i64;
        }
        push(events, asked, true, "take-over");
        at_ms = asked.at_ms + random.between(30_000, 400_000) as i64;
    }
}

/// Customers talked into paying a mule: their own devices, ordinary hours and sessions, rather large amounts.
fn fan_in(people: &[Person], day_ms: i64, random: &mut Random, events: &mut Events) {
    let mule = mule(people, random);
    for _ in 0..4 + random.below(8) {
        let Some(person) = random.pick(people) else { return };
        let at_ms = day_ms + random.between(0, 2) as i64 * DAY_MS + person.time_of_day_ms(random);
        let amount = cents(round((person.usual * random.lognormal(4.0, 0.7)).clamp(30.0, 9_000.0)));
        let asked = event(person, at_ms, mule, amount, random);
        push(events, asked, true, "fan-in");
    }
}

/// A burst of small transfers, most refused, then a larger one.
fn test_cards((people, town): (&[Person], &Town), day_ms: i64, random: &mut Random, events: &mut Events) {
    let Some(person) = random.pick(people) else { return };
    let mut at_ms = day_ms + random.between(0, DAY_MS as u64) as i64;
    let device = Some(town.device(random));
    for _ in 0..4 + random.below(8) {
        let mut asked = event(person, at_ms, random.identifier(), random.between(50, 400) as i64, random);
        asked.device = device;
        push(events, asked, random.chance(0.4), "card-testing");
        at_ms += random.between(5_000, 90_000) as i64;
    }
    let amount = cents(round(person.usual * random.lognormal(5.0, 0.6)));
    let mut asked = event(person, at_ms, random.identifier(), amount, random);
    asked.device = device;
    push(events, asked, true, "card-testing");
}

/// Moderate amounts to one payee over a week or two; after the first, the payee is no longer new.
fn drain((people, town): (&[Person], &Town), day_ms: i64, random: &mut Random, events: &mut Events) {
    let Some(person) = random.pick(people) else { return };
    let mule = mule(people, random);
    // Family or a landlord: somebody whom the victim has long paid.
    let mule = if random.chance(0.2) { person.known_payee(random) } else { mule };
    let device = if random.chance(0.5) { Some(town.device(random)) } else { person.devices.first().copied() };
    let mut day = 0;
    for _ in 0..4 + random.below(5) {
        let at_ms = day_ms
            + day * DAY_MS
            + if random.chance(0.3) {
                random.between(0, 5 * 3_600_000) as i64
            } else {
                person.time_of_day_ms(random)
            };
        let amount = cents(round((person.usual * random.lognormal(2.5, 0.5)).clamp(10.0, 3_000.0)));
        let mut asked = event(person, at_ms, mule, amount, random);
        asked.device = device;
        push(events, asked, true, "drain");
        day += 1 + random.below(3) as i64;
    }
}

/// Most mule accounts are new to the bank; some belong to people who were paid lawfully before.
fn mule(people: &[Person], random: &mut Random) -> u64 {
    match random.pick(people) {
        Some(person) if random.chance(0.3) => person.known_payee(random),
        _ => random.identifier(),
    }
}

fn push(events: &mut Events, event: TransferEvent, accepted: bool, scenario: &str) {
    events.push(RecordedTransfer { event, accepted, fraud: Some(true), scenario: Some(scenario.to_owned()) });
}

//! Customers with habits, and those whom everybody pays.

use super::Random;

/// Whom customers pay: shops and utilities that many know, and accounts that hardly anybody does.
pub(super) struct Town {
    pub(super) shared: Vec<u64>,
    /// Browsers and apps in the versions of the day, the popular ones first.
    browsers: Vec<u64>,
}

/// Browsers and apps that many have.
const BROWSERS: usize = 60;

impl Town {
    pub(super) fn new(payees: usize, random: &mut Random) -> Self {
        let mut identifiers = |count: usize| (0..count).map(|_| random.identifier()).collect();
        Self { shared: identifiers(payees), browsers: identifiers(BROWSERS) }
    }

    /// A device as a gateway tells them apart, by browser or app: most are those of many others, some of nobody else.
    pub(super) fn device(&self, random: &mut Random) -> u64 {
        let skewed = random.uniform().powi(2) * self.browsers.len() as f64;
        let own = random.identifier();
        if random.chance(0.3) { own } else { self.browsers.get(skewed as usize).copied().unwrap_or(own) }
    }

    /// Now and then a browser comes in a new version.
    pub(super) fn a_day_passes(&mut self, random: &mut Random) {
        let (at, version) = (random.below(self.browsers.len()), random.identifier());
        if random.chance(0.5) {
            self.browsers.get_mut(at).into_iter().for_each(|browser| *browser = version);
        }
    }

    /// A payee whom many pay; a few are paid far more often than the rest.
    pub(super) fn popular(&self, random: &mut Random) -> u64 {
        let skewed = random.uniform().powi(3) * self.shared.len() as f64;
        self.shared.get(skewed as usize).copied().unwrap_or(0)
    }
}

/// A customer's habits.
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) devices: Vec<u64>,
    /// Payees known to this customer, most used first.
    pub(super) payees: Vec<u64>,
    pub(super) landlord: u64,
    pub(super) rent_cents: i64,
    pub(super) rent_day: u64,
    /// Median of an ordinary transfer, major units.
    pub(super) usual: f64,
    /// Spread of ordinary amounts on the log scale.
    pub(super) spread: f64,
    pub(super) transfers_per_day: f64,
    /// Local hour around which this customer banks.
    pub(super) hour: f64,
    pub(super) hour_spread: f64,
    /// Probability that a transfer goes to somebody new.
    pub(super) curiosity: f64,
    pub(super) quick_sessions: f64,
}

impl Person {
    pub(super) fn new(town: &Town, random: &mut Random) -> Self {
        let usual = random.lognormal(45.0, 0.7);
        let known = 3 + random.below(10);
        // One in fourteen is up at night.
        let owl = random.chance(0.07);
        Self {
            id: random.identifier(),
            devices: (0..1 + random.below(3)).map(|_| town.device(random)).collect(),
            payees: (0..known)
                .map(|_| if random.chance(0.7) { town.popular(random) } else { random.identifier() })
                .collect(),
            landlord: random.identifier(),
            rent_cents: (random.lognormal(850.0, 0.35) * 100.0) as i64 / 500 * 500,
            rent_day: random.between(0, 5),
            usual,
            spread: 0.6 + 0.5 * random.uniform(),
            transfers_per_day: random.lognormal(0.45, 0.6).min(4.0),
            hour: if owl { 0.5 + 3.0 * random.uniform() } else { 9.0 + 11.0 * random.uniform() },
            hour_spread: 1.5 + 2.5 * random.uniform(),
            curiosity: 0.03 + 0.12 * random.uniform(),
            quick_sessions: 0.1 + 0.3 * random.uniform(),
        }
    }

    /// An ordinary amount in cents; people like round figures, and share the price of a coffee.
    pub(super) fn amount(&self, random: &mut Random) -> i64 {
        if random.chance(0.06) {
            return small(random);
        }
        let amount = random.lognormal(self.usual, self.spread).clamp(0.5, 60_000.0);
        cents(if random.chance(0.35) { round(amount) } else { amount })
    }

    /// A rare purchase far above the usual: a car, a deposit, a holiday.
    pub(super) fn splurge(&self, random: &mut Random) -> i64 {
        let ratio = random.lognormal(14.0, 0.8).clamp(3.0, 150.0);
        cents(round((self.usual * ratio).clamp(100.0, 60_000.0)))
    }

    /// Milliseconds into a day at which this customer banks.
    pub(super) fn time_of_day_ms(&self, random: &mut Random) -> i64 {
        let hour = if random.chance(0.14) {
            24.0 * random.uniform()
        } else {
            self.hour + self.hour_spread * random.normal()
        };
        (hour.rem_euclid(24.0) * 3_600_000.0) as i64
    }

    /// Seconds since the session began.
    pub(super) fn session_age_s(&self, random: &mut Random) -> u32 {
        let median = if random.chance(self.quick_sessions) { 45.0 } else { 240.0 };
        random.lognormal(median, 0.8).clamp(4.0, 20_000.0) as u32
    }

    /// A payee this customer knows, the first ones most often.
    pub(super) fn known_payee(&self, random: &mut Random) -> u64 {
        let skewed = random.uniform().powi(2) * self.payees.len() as f64;
        self.payees.get(skewed as usize).copied().unwrap_or(self.landlord)
    }
}

/// Half a unit to six units, in cents.
pub(super) fn small(random: &mut Random) -> i64 {
    random.between(1, 13) as i64 * 50
}

pub(super) fn cents(amount: f64) -> i64 {
    (amount * 100.0).round() as i64
}

/// To one leading digit and a half: 37.42 becomes 35, 1 234 becomes 1 200.
pub(super) fn round(amount: f64) -> f64 {
    let step = match amount {
        amount if amount < 20.0 => 1.0,
        amount if amount < 200.0 => 5.0,
        amount if amount < 2_000.0 => 50.0,
        _ => 250.0,
    };
    (amount / step).round().max(1.0) * step
}

//! From what is known to numbers.

use super::columns::{
    activity, amount, attempts, counterparty, excess, habit, level, level_price, norm, place, price,
    relation, time, travel,
};
use super::customer::CustomerView;
use super::event::{column_key, distance_km, level_key};
use super::movements::{Known, MONTH_S, Total};
use super::party::PartyView;
use super::schema::{CATEGORIES_MAX, Schema};
use super::{Event, Profiles, shard};

/// Fewer accepted events than this are no habit.
const HABIT_MIN: u32 = 4;
/// A customer who always pays the same amount still has some spread (log scale, about a third).
const LOG_SPREAD_MIN: f64 = 0.3;
/// The same on the plain scale, as a share of the usual amount.
const SPREAD_SHARE_MIN: f64 = 0.1;
/// From this hour on it is no longer night.
const NIGHT_ENDS: usize = 6;
/// Smoothed shares of fraud lean on the usual share as if it had been seen this often.
const LEAN_LEVEL: f64 = 20.0;
const LEAN_ONE: f64 = 5.0;
const DAY: f64 = 86_400.0;

/// How often the customer was seen with the level of each category, and with any of it. A history out of a bank's books, or
/// by a program, may lack some categories: their habits are not known then.
type Habits = [[u32; 2]; CATEGORIES_MAX];

pub(super) fn describe(
    profiles: &Profiles,
    schema: &Schema,
    event: &Event<'_>,
    out: &mut Vec<f32>,
) -> Option<CustomerView> {
    let inputs = schema.inputs();
    let mut habits: Habits = [[0; 2]; CATEGORIES_MAX];
    let customer = event.customer.filter(|_| inputs.customer);
    let known = customer.and_then(|key| {
        let shard = shard(&profiles.customers, key).lock();
        let customer = shard.peek(key)?;
        for (column, (slot, level)) in habits.iter_mut().zip(event.categories).enumerate() {
            let times = |level| [level_key(column, level), column_key(column)].map(|key| customer.times(key));
            *slot = level.map_or([0; 2], times);
        }
        Some(customer.view(event, inputs.label_delay_s))
    });
    let view = customer.map(|_| known.unwrap_or_default());
    let party = event.counterparty.filter(|_| inputs.counterparty).map(|key| {
        let shard = shard(&profiles.counterparties, key).lock();
        shard.peek(key).map(|party| party.view(event, inputs.label_delay_s)).unwrap_or_default()
    });
    let base = profiles.base_rate();
    out.clear();
    fill(schema, event, view.as_ref(), party.as_ref(), base, out);
    for (column, level) in event.categories.iter().take(inputs.categorical.len()).enumerate() {
        let seen = level.map(|level| {
            let key = level_key(column, level);
            let shard = shard(&profiles.levels, key).lock();
            shard.peek(key).map(|party| party.view(event, inputs.label_delay_s)).unwrap_or_default()
        });
        let times = habits.get(column).copied().unwrap_or_default();
        fill_level(schema, event, seen.as_ref(), times, base, out);
    }
    out.extend(event.numbers.iter().take(inputs.numeric.len()));
    view
}

/// Everything but categories and plain numbers.
fn fill(
    schema: &Schema,
    event: &Event<'_>,
    view: Option<&CustomerView>,
    party: Option<&PartyView>,
    base: f64,
    out: &mut Vec<f32>,
) {
    let inputs = schema.inputs();
    if inputs.amount {
        let amount_log = event.amount_cents.map_or(f32::NAN, major_log);
        out.extend(amount::Row { amount_log }.into_array());
    }
    if inputs.time {
        out.extend(times(event).into_array());
    }
    let unknown = CustomerView::default();
    let view = view.unwrap_or(&unknown);
    if inputs.customer {
        out.extend(activities(view, base).into_array());
    }
    if inputs.customer && inputs.amount {
        out.extend(norms(event, view).into_array());
    }
    let stranger = PartyView::default();
    let party = party.unwrap_or(&stranger);
    if inputs.counterparty {
        out.extend(counterparties(party, base).into_array());
    }
    if inputs.counterparty && inputs.amount {
        out.extend(prices(event, party).into_array());
    }
    if inputs.customer && inputs.counterparty {
        out.extend(
            relation::Row {
                new_payee: flag(view.times_paid == 0),
                times_paid: log(view.times_paid),
                new_payees_1d: log(view.new_counterparties_1d),
            }
            .into_array(),
        );
    }
    if inputs.customer && inputs.counterparty && inputs.amount {
        let log = event.log_cents().filter(|_| habit(view));
        let above = log.map_or(0.0, |log| (log - view.logs[0]).max(0.0) as f32);
        out.extend(excess::Row { new_payee_excess: flag(view.times_paid == 0) * above }.into_array());
    }
    if inputs.coordinates {
        let distance_log = event.distance_km().map_or(f32::NAN, |km| km.ln_1p() as f32);
        out.extend(place::Row { distance_log }.into_array());
    }
    if inputs.coordinates && inputs.customer {
        out.extend(travels(event, view).into_array());
    }
    if inputs.attempts {
        let [hour, day] = view.unaccepted.map(log);
        out.extend(
            attempts::Row { attempts_10m: log(view.attempts_10m), unaccepted_1h: hour, unaccepted_1d: day }
                .into_array(),
        );
    }
}

fn times(event: &Event<'_>) -> time::Row {
    let angle = event.local_day_part() * std::f64::consts::TAU;
    time::Row {
        hour_sin: angle.sin() as f32,
        hour_cos: angle.cos() as f32,
        night: flag(event.local_hour() < NIGHT_ENDS),
        weekend: flag(event.weekend()),
    }
}

fn habit(view: &CustomerView) -> bool {
    view.total >= HABIT_MIN
}

fn activities(view: &CustomerView, base: f64) -> activity::Row {
    let [count_1h, count_1d, count_7d, count_30d] = view.totals.map(|total| total.count);
    let pause_s = f64::from(MONTH_S) / f64::from(count_30d + 1);
    let since_s = view.since_last_s.map(f64::from);
    let Known { counts: [_, _, month, all], frauds: [_, frauds_7d, frauds_30d, frauds], .. } = view.known;
    activity::Row {
        history: log(view.total),
        count_1h: log(count_1h),
        count_1d: log(count_1d),
        count_7d: log(count_7d),
        count_30d: log(count_30d),
        since_last: since_s.map_or(f32::NAN, |s| (s / 60.0).ln_1p() as f32),
        gap_to_usual_log: since_s
            .filter(|_| habit(view))
            .map_or(f32::NAN, |s| ((s + 60.0) / pause_s).ln() as f32),
        hour_unusual: if habit(view) { (1.0 - view.hour_share) as f32 } else { f32::NAN },
        customer_frauds_7d: log(frauds_7d),
        customer_frauds_30d: log(frauds_30d),
        customer_risk_30d: odds(frauds_30d, month, base, LEAN_ONE),
        customer_risk: odds(frauds, all, base, LEAN_ONE),
        customer_first_fraud_age: view
            .known
            .first_fraud_age_s
            .map_or(f32::NAN, |age_s| (f64::from(age_s) / DAY) as f32),
        customer_fraud_age: view
            .known
            .fraud_age_s
            .map_or(f32::NAN, |age_s| (f64::from(age_s) / DAY).ln_1p() as f32),
    }
}

fn norms(event: &Event<'_>, view: &CustomerView) -> norm::Row {
    // A missing amount spreads as `NaN` through all that is made of it.
    let cents = event.cents().unwrap_or(f64::NAN);
    let known = habit(view);
    let when_known = |value: f64| if known { value as f32 } else { f32::NAN };
    let to_norm = cents.ln_1p() - view.logs[0];
    let [usual, spread] = view.cents;
    let [_, day, week, month] = view.totals;
    let median = view.median.map(|[median, _]| f64::from(median.max(0.0)));
    let to_median =
        |value: f64| median.map_or(f32::NAN, |median| ((1.0 + value) / (1.0 + median)).ln() as f32);
    let [sum_1h, sum_1d, sum_7d, sum_30d] = view.totals.map(|total| major_log(total.sum_cents));
    let [large_1d, large_7d, large_30d] = view.large.counts;
    let days = |age_s: Option<u32>| age_s.map_or(f32::NAN, |age_s| (f64::from(age_s) / DAY) as f32);
    norm::Row {
        amount_to_norm_log: when_known(to_norm),
        amount_z_log: when_known((to_norm / view.logs[1].max(LOG_SPREAD_MIN)).clamp(-10.0, 10.0)),
        amount_z: if known { z(cents, usual, spread) } else { f32::NAN },
        amount_z_7d: window_z(cents, week),
        amount_z_30d: window_z(cents, month),
        amount_to_median_log: to_median(cents),
        amount_z_robust: view
            .median
            .map_or(f32::NAN, |[median, distance]| z(cents, f64::from(median), 1.4826 * f64::from(distance))),
        amount_to_max_log: if month.max_cents > 0 {
            ((1.0 + cents) / (1.0 + month.max_cents as f64)).ln() as f32
        } else {
            f32::NAN
        },
        sum_1h,
        sum_1d,
        sum_7d,
        sum_30d,
        mean_1d: mean(day),
        mean_7d: mean(week),
        mean_30d: mean(month),
        day_to_month_log: if month.sum_cents > 0 {
            let usual_day = month.sum_cents as f64 / 30.0;
            ((day.sum_cents.max(0) as f64 + cents + 1.0) / (usual_day + 1.0)).ln() as f32
        } else {
            f32::NAN
        },
        week_to_month_log: match week.count {
            0 => f32::NAN,
            n => to_median(week.sum_cents.max(0) as f64 / f64::from(n)),
        },
        large_1d: log(large_1d),
        large_7d: log(large_7d),
        large_30d: log(large_30d),
        very_large_30d: log(view.large.very),
        first_large_age: days(view.large.first_s),
        last_large_age: days(view.large.last_s),
        large_share_7d: match week.count {
            0 => f32::NAN,
            n => large_7d as f32 / n as f32,
        },
        max_7d_to_median_log: if week.count > 0 { to_median(week.max_cents.max(0) as f64) } else { f32::NAN },
    }
}

/// Standard deviations, with a least spread, -30 to 30.
fn z(value: f64, mean: f64, spread: f64) -> f32 {
    ((value - mean) / spread.max(SPREAD_SHARE_MIN * mean.abs()).max(1.0)).clamp(-30.0, 30.0) as f32
}

/// The amount against those of a window, in standard deviations.
fn window_z(cents: f64, total: Total) -> f32 {
    if total.count < 3 {
        return f32::NAN;
    }
    let n = f64::from(total.count);
    let mean = total.sum_cents as f64 / n;
    z(cents, mean, (total.squares / n - mean * mean).max(0.0).sqrt())
}

fn mean(total: Total) -> f32 {
    match total.count {
        0 => f32::NAN,
        n => major_log(total.sum_cents / i64::from(n)),
    }
}

fn prices(event: &Event<'_>, party: &PartyView) -> price::Row {
    let cents = event.cents().unwrap_or(f64::NAN);
    let [amount_to_payee_log, amount_z_payee] = against(event, party);
    let [_, day, week, month] = party.totals;
    let [payee_sum_1h, payee_sum_1d, payee_sum_7d, payee_sum_30d] =
        party.totals.map(|total| major_log(total.sum_cents));
    price::Row {
        amount_to_payee_log,
        amount_z_payee,
        amount_z_payee_7d: window_z(cents, week),
        amount_z_payee_30d: window_z(cents, month),
        payee_sum_1h,
        payee_sum_1d,
        payee_sum_7d,
        payee_sum_30d,
        payee_mean_1d: mean(day),
        payee_mean_7d: mean(week),
        payee_mean_30d: mean(month),
    }
}

fn counterparties(party: &PartyView, base: f64) -> counterparty::Row {
    let [count_1h, count_1d, count_7d, count_30d] = party.totals.map(|total| log(total.count));
    let [day, month] = party.fan_in;
    let Known { counts, frauds, .. } = party.known;
    let [risk_1d, risk_7d, risk_30d, _] = std::array::from_fn(|at| match (frauds.get(at), counts.get(at)) {
        (Some(&frauds), Some(&count)) if count > 0 => frauds as f32 / count as f32,
        _ => 0.0,
    });
    let [_, known_7d, _, known] = counts;
    let [_, frauds_7d, frauds_30d, frauds] = frauds;
    let days = |age_s: Option<u32>| age_s.map_or(f32::NAN, |age_s| (f64::from(age_s) / DAY) as f32);
    counterparty::Row {
        payee_count_1h: count_1h,
        payee_count_1d: count_1d,
        payee_count_7d: count_7d,
        payee_count_30d: count_30d,
        payee_age: party.age_s.map_or(f32::NAN, |age_s| (f64::from(age_s) / DAY).ln_1p() as f32),
        payee_fan_in_1d: log(day),
        payee_fan_in_30d: log(month),
        payee_rush: if month >= 3 { day as f32 / month as f32 } else { 0.0 },
        payee_risk_1d: risk_1d,
        payee_risk_7d: risk_7d,
        payee_risk_30d: risk_30d,
        payee_known_7d: log(known_7d),
        payee_frauds_7d: log(frauds_7d),
        payee_frauds_30d: log(frauds_30d),
        payee_odds: odds(frauds, known, base, LEAN_ONE),
        payee_streak: log(party.known.streak),
        payee_streak_age: days(party.known.streak_age_s),
        payee_fraud_age: days(party.known.fraud_age_s),
        payee_fraud_surprise: party.surprise.unwrap_or(f32::NAN),
        payee_honest_age: days(party.known.honest_age_s),
    }
}

fn travels(event: &Event<'_>, view: &CustomerView) -> travel::Row {
    let km = event.distance_km();
    let [usual, spread] = view.distances;
    let there = event.coordinates.map(|[_, there]| there);
    let moved = view.place.zip(there).map(|(last, there)| distance_km(last.map(f64::from), there));
    let hours = view.since_last_s.map(|s| (f64::from(s) / 3_600.0).max(1.0 / 60.0));
    travel::Row {
        distance_z: match km {
            Some(km) if habit(view) => {
                ((km.ln_1p() - usual) / spread.max(LOG_SPREAD_MIN)).clamp(-10.0, 10.0) as f32
            }
            _ => f32::NAN,
        },
        from_last_log: moved.map_or(f32::NAN, |km| km.ln_1p() as f32),
        speed_log: moved.zip(hours).map_or(f32::NAN, |(km, hours)| (km / hours).ln_1p() as f32),
    }
}

/// The features of one level; `[times, total]` are the customer's events with it, and with any of its category.
fn fill_level(
    schema: &Schema,
    event: &Event<'_>,
    seen: Option<&PartyView>,
    [times, total]: [u32; 2],
    base: f64,
    out: &mut Vec<f32>,
) {
    let inputs = schema.inputs();
    let when_there = |value: f32| if seen.is_some() { value } else { f32::NAN };
    let nothing = PartyView::default();
    let party = seen.unwrap_or(&nothing);
    let Known { counts: [_, _, month, known], frauds: [_, _, frauds_30d, frauds], .. } = party.known;
    out.extend(
        level::Row {
            odds: when_there(odds(frauds, known, base, LEAN_LEVEL)),
            odds_30d: when_there(odds(frauds_30d, month, base, LEAN_LEVEL)),
            frequency: when_there(log(party.total)),
        }
        .into_array(),
    );
    if inputs.amount && inputs.time {
        let [_, z] = against(event, party);
        out.extend(level_price::Row { amount_z: when_there(z) }.into_array());
    }
    if inputs.customer {
        let comparable = seen.is_some() && total > 0;
        let [new, share] =
            if comparable { [flag(times == 0), times as f32 / total as f32] } else { [f32::NAN; 2] };
        out.extend(habit::Row { new, share: share.min(1.0) }.into_array());
    }
}

/// The amount against the usual of a counterparty or level: ln ratio, and in standard deviations of the logarithm.
fn against(event: &Event<'_>, party: &PartyView) -> [f32; 2] {
    if party.total < HABIT_MIN {
        return [f32::NAN; 2];
    }
    let [usual, spread] = party.amounts;
    let Some(log) = event.log_cents() else { return [f32::NAN; 2] };
    let ratio = log - usual;
    [ratio as f32, (ratio / spread.max(LOG_SPREAD_MIN)).clamp(-10.0, 10.0) as f32]
}

/// Logarithm of the odds of fraud against the usual odds; leans on the usual as if it had been seen `lean` times.
fn odds(frauds: u32, known: u32, base: f64, lean: f64) -> f32 {
    let (frauds, known) = (f64::from(frauds), f64::from(known));
    let smoothed = (frauds + lean * base) / ((known - frauds).max(0.0) + lean * (1.0 - base));
    (smoothed * (1.0 - base) / base).ln() as f32
}

fn flag(set: bool) -> f32 {
    if set { 1.0 } else { 0.0 }
}

fn log(n: u32) -> f32 {
    f64::from(n).ln_1p() as f32
}

fn major_log(cents: i64) -> f32 {
    (cents.max(0) as f64 / 100.0).ln_1p() as f32
}

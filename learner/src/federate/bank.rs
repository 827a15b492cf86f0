//! What a party puts into the sums, made from its rows.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::fixed::Exact;
use super::model::{bounded, design_row, loss, probability};
use super::state::{Scaling, State, adam, learning_rate};
use super::table::Table;
use super::terms::{Method, Purpose, Schema, Terms};
use super::wire::Real;

/// Most that one unit counts for or against a new state in a private vote, nats of mean loss.
pub const VOTE_BOUND: f64 = 0.1;

/// What a party does for a training. The protocol makes no assumption about it: whatever it gives is masked and summed.
pub trait Work: Send {
    /// The vector for a sum, of the length that the terms give it.
    fn contribution(&mut self, terms: &Terms, schema: &Schema, state: &State, purpose: Purpose) -> Vec<f64>;

    /// How much worse a new state does on rows that never train.
    fn compare(&mut self, terms: &Terms, schema: &Schema, before: &State, after: &State) -> Comparison;
}

/// Two states on rows that never train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Mean loss of the state before, nats.
    pub before: f64,
    /// Sum over units of how much their mean loss rises, each within [`VOTE_BOUND`] where votes are private.
    pub rise: f64,
    /// Units.
    pub units: usize,
}

/// The honest work on a bank's rows: a fifth of its units is held out for votes, the others train.
pub struct Bank {
    table: Table,
    /// Training units and held-out ones, by whether each row is a unit of its own.
    groups: BTreeMap<bool, [Groups; 2]>,
    design: Option<(Scaling, Vec<f32>)>,
}

/// Rows by unit.
#[derive(Default)]
struct Groups {
    rows: Vec<usize>,
    /// Where each unit's rows end.
    ends: Vec<usize>,
}

impl Groups {
    fn units(&self) -> impl Iterator<Item = &[usize]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| self.rows.get(start..end).unwrap_or_default())
    }
}

impl Bank {
    /// Works on these rows.
    pub fn new(table: Table) -> Self {
        Self { table, groups: BTreeMap::new(), design: None }
    }

    /// Makes ready what a sum needs: the groups of the terms' units, and the design matrix of a standardisation.
    fn prepare(&mut self, terms: &Terms, schema: &Schema, scaling: Option<&Scaling>) {
        let by_row = rows_are_units(terms);
        let table = &self.table;
        self.groups.entry(by_row).or_insert_with(|| grouped(table, by_row));
        if let Some(scaling) = scaling
            && self.design.as_ref().is_none_or(|(of, _)| of != scaling)
        {
            let mut row = vec![0.0; schema.features.len()];
            let mut design = vec![0.0; table.positive.len() * schema.width()];
            for (at, out) in design.chunks_exact_mut(schema.width()).enumerate() {
                table.frame.row(at, &mut row);
                design_row(schema, scaling, &row, out);
            }
            self.design = Some((scaling.clone(), design));
        }
    }

    fn groups(&self, terms: &Terms) -> Option<&[Groups; 2]> {
        self.groups.get(&rows_are_units(terms))
    }

    fn rows(&self, width: usize) -> Rows<'_> {
        let design = self.design.as_ref().map_or(&[][..], |(_, design)| design);
        Rows { design, positive: &self.table.positive, width }
    }

    /// Sums over units of each feature's mean and mean square within its bounds, and its share of missing values; then of
    /// positive shares, then of ones. Each unit counts the same, however many rows it has.
    fn statistics(&self, terms: &Terms, schema: &Schema) -> Vec<f64> {
        let length = terms.length(Purpose::Statistics, schema);
        let (mut sums, mut of_unit) = (Exact::new(length), vec![0.0; length]);
        let Some([training, _]) = self.groups(terms) else { return sums.values() };
        let mut row = vec![0.0; schema.features.len()];
        for rows in training.units() {
            of_unit.fill(0.0);
            let weight = 1.0 / rows.len().max(1) as f64;
            for &at in rows {
                self.table.frame.row(at, &mut row);
                for ((three, feature), value) in of_unit.chunks_exact_mut(3).zip(&schema.features).zip(&row) {
                    let value = bounded(feature.low.0, feature.high.0, *value);
                    let add = value.map_or([0.0, 0.0, 1.0], |v| [v, v * v, 0.0]);
                    three.iter_mut().zip(add).for_each(|(sum, add)| *sum += weight * add);
                }
                let positive = self.table.positive.get(at).copied().unwrap_or_default();
                let last = of_unit.iter_mut().rev().zip([1.0, f64::from(u8::from(positive))]);
                last.for_each(|(sum, add)| *sum += weight * add);
            }
            sums.add(&of_unit);
        }
        sums.values()
    }

    /// The difference that some epochs of training from the shared weights make, within the clip and times the party's
    /// share of all rows; then that share.
    fn averaging(&self, terms: &Terms, schema: &Schema, state: &State, epochs: u32, batch: u32) -> Vec<f64> {
        let mut sums = vec![0.0; schema.width() + 1];
        let (Some([training, _]), Some(scaling)) = (self.groups(terms), &state.scaling) else { return sums };
        let rows = self.rows(schema.width());
        let mut order = training.rows.clone();
        // Another order each round, the same for the same state.
        let seed = state.digest().0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut weights: Vec<f64> = state.weights.iter().map(|weight| weight.0).collect();
        let mut moments = vec![(0.0, 0.0); schema.width()];
        let (mut step, rate) = (0, learning_rate(terms, state.rounds));
        for _ in 0..epochs {
            order.shuffle(&mut random);
            for batch in order.chunks(batch as usize) {
                let mut gradient = vec![0.0; schema.width()];
                rows.add_gradient(&weights, batch, &mut gradient);
                step += 1;
                let slots = weights.iter_mut().zip(&mut moments).zip(gradient).enumerate();
                for (at, ((weight, (first, second)), sum)) in slots {
                    let penalty = if at + 1 == schema.width() { 0.0 } else { terms.l2.0 * *weight };
                    let mean = sum / batch.len() as f64 + penalty;
                    *weight -= rate * adam(first, second, mean, step);
                }
            }
        }
        let mut difference: Vec<f64> =
            weights.iter().zip(&state.weights).map(|(w, before)| w - before.0).collect();
        clip(&mut difference, terms.clip.0);
        let share = training.ends.len() as f64 / scaling.units.0;
        sums.iter_mut().zip(difference).for_each(|(sum, difference)| *sum = share * difference);
        if let Some(last) = sums.last_mut() {
            *last = share;
        }
        sums
    }

    /// The sum of the units' gradients, each within the clip.
    fn gradients(&self, terms: &Terms, schema: &Schema, state: &State) -> Vec<f64> {
        let mut sums = Exact::new(schema.width());
        let Some([training, _]) = self.groups(terms) else { return sums.values() };
        let rows = self.rows(schema.width());
        let weights: Vec<f64> = state.weights.iter().map(|weight| weight.0).collect();
        let mut gradient = vec![0.0; schema.width()];
        for unit in training.units() {
            gradient.fill(0.0);
            rows.add_gradient(&weights, unit, &mut gradient);
            clip(&mut gradient, terms.clip.0);
            sums.add(&gradient);
        }
        sums.values()
    }
}

impl Work for Bank {
    fn contribution(&mut self, terms: &Terms, schema: &Schema, state: &State, purpose: Purpose) -> Vec<f64> {
        self.prepare(terms, schema, state.scaling.as_ref());
        match (purpose, &terms.method) {
            (Purpose::Statistics, _) => self.statistics(terms, schema),
            (_, Method::Averaging { epochs, batch }) => self.averaging(terms, schema, state, *epochs, *batch),
            (_, Method::Private { .. }) => self.gradients(terms, schema, state),
        }
    }

    fn compare(&mut self, terms: &Terms, schema: &Schema, before: &State, after: &State) -> Comparison {
        self.prepare(terms, schema, after.scaling.as_ref());
        let bound = match terms.method {
            Method::Averaging { .. } => f64::INFINITY,
            Method::Private { .. } => VOTE_BOUND,
        };
        let mut comparison = Comparison { before: 0.0, rise: 0.0, units: 0 };
        let Some([_, held]) = self.groups(terms) else { return comparison };
        let rows = self.rows(schema.width());
        for unit in held.units() {
            let of = |weights: &[Real]| rows.loss(weights, unit) / unit.len().max(1) as f64;
            let (old, new) = (of(&before.weights), of(&after.weights));
            comparison.before += old;
            let rise = new - old;
            comparison.rise += if rise.is_nan() { bound } else { rise.clamp(-bound, bound) };
            comparison.units += 1;
        }
        comparison.before /= comparison.units.max(1) as f64;
        comparison
    }
}

fn rows_are_units(terms: &Terms) -> bool {
    matches!(terms.method, Method::Averaging { .. })
}

/// Training and held-out units. Whole units are held out, so that what votes say is of other units than the sums.
fn grouped(table: &Table, by_row: bool) -> [Groups; 2] {
    let mut order: Vec<usize> = (0..table.positive.len()).collect();
    // Rows by themselves are told apart by what is in them: their places in the file may say something about them, and the
    // same row elsewhere in it would be in votes and in sums.
    let units = table.unit.clone().unwrap_or_else(|| (0..order.len()).map(|at| content(table, at)).collect());
    let by_row = by_row || table.unit.is_none();
    let unit = |at: usize| units.get(at).copied().unwrap_or_default();
    order.sort_by_key(|&at| (unit(at), at));
    let mut groups = [Groups::default(), Groups::default()];
    for rows in order.chunk_by(|&a, &b| unit(a) == unit(b)) {
        let is_held = rows.first().is_some_and(|&at| scattered(unit(at)).is_multiple_of(5));
        let [training, held] = &mut groups;
        let group = if is_held { held } else { training };
        for row in rows.chunks(if by_row { 1 } else { rows.len() }) {
            group.rows.extend(row);
            group.ends.push(group.rows.len());
        }
    }
    groups
}

/// A number that follows from a row's features and label.
fn content(table: &Table, at: usize) -> u64 {
    let mut row = vec![0.0; table.frame.width()];
    table.frame.row(at, &mut row);
    let label = table.positive.get(at).copied().unwrap_or_default();
    row.iter().fold(u64::from(label), |mixed, value| scattered(mixed ^ u64::from(value.to_bits())))
}

/// A number that has nothing to do with the order of its argument (SplitMix64's finaliser).
fn scattered(unit: u64) -> u64 {
    let mut z = unit.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Rows<'a> {
    design: &'a [f32],
    positive: &'a [bool],
    width: usize,
}

impl Rows<'_> {
    fn row(&self, at: usize) -> (&[f32], bool) {
        let row = self.design.get(at * self.width..(at + 1) * self.width).unwrap_or_default();
        (row, self.positive.get(at).copied().unwrap_or_default())
    }

    /// Adds the rows' gradients of the loss.
    fn add_gradient(&self, weights: &[f64], rows: &[usize], gradient: &mut [f64]) {
        for &at in rows {
            let (row, positive) = self.row(at);
            let raw: f64 = row.iter().zip(weights).map(|(x, w)| f64::from(*x) * w).sum();
            let residual = probability(raw) - f64::from(u8::from(positive));
            gradient.iter_mut().zip(row).for_each(|(g, x)| *g += residual * f64::from(*x));
        }
    }

    fn loss(&self, weights: &[Real], rows: &[usize]) -> f64 {
        let of = |&at: &usize| {
            let (row, positive) = self.row(at);
            loss(row.iter().zip(weights).map(|(x, w)| f64::from(*x) * w.0).sum(), positive)
        };
        rows.iter().map(of).sum()
    }
}

/// Takes a vector back to the bound of its norm. One whose norm is no finite number becomes zero, so that whatever weights a
/// coordinator sends, a unit changes the sum by no more than the bound.
fn clip(vector: &mut [f64], bound: f64) {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !norm.is_finite() {
        vector.fill(0.0);
    } else if norm > bound {
        vector.iter_mut().for_each(|x| *x *= bound / norm);
    }
}

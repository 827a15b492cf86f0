//! Columns as small whole numbers: quantile bins, so that a split is looked for among 255 places.

use crate::frame::Frame;
use crate::simulate::Random;
use rayon::prelude::*;

/// Bins of a column with that of missing values, which is the last.
pub(super) const BINS: usize = 256;
/// The bin of missing values.
pub(super) const MISSING: u8 = 255;
/// Columns that lie side by side, row by row: a row's bins of a block are one 64-bit word.
pub(super) const BLOCK: usize = 8;
/// Rows that the quantiles are learned from.
const SAMPLE: usize = 200_000;

/// Where the bins of each column end: bin `b` has the values up to and including `cuts[b]`, the last bin all above.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cuts(Vec<Vec<f32>>);

impl Cuts {
    /// Learns quantiles from the frame or, if it is large, from a sample of its rows.
    pub(super) fn learn(frame: &Frame, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rows: Vec<usize> = match frame.rows() {
            all if all <= SAMPLE => (0..all).collect(),
            all => (0..SAMPLE).map(|_| random.below(all)).collect(),
        };
        let cut = |column: usize| {
            let values = frame.column(column);
            let mut known: Vec<f32> =
                rows.iter().map(|&row| values[row]).filter(|value| !value.is_nan()).collect();
            known.sort_unstable_by(f32::total_cmp);
            cuts(&known)
        };
        Self((0..frame.width()).into_par_iter().map(cut).collect())
    }

    /// Number of bins without that of missing values.
    pub(super) fn bins(&self, column: usize) -> usize {
        self.0[column].len() + 1
    }

    /// Highest value of a bin; that of the last is not learned, so everything finite is in it.
    pub(super) fn end(&self, column: usize, bin: u8) -> f32 {
        self.0[column].get(usize::from(bin)).copied().unwrap_or(f32::MAX)
    }

    fn bin(&self, column: usize, value: f32) -> u8 {
        if value.is_nan() { MISSING } else { self.0[column].partition_point(|end| *end < value) as u8 }
    }
}

/// Ends of bins that hold about equally many of the sorted values; equal values stay together, and a value that fills a
/// bin by itself has one.
fn cuts(sorted: &[f32]) -> Vec<f32> {
    const MOST: usize = BINS - 1;
    let groups: Vec<&[f32]> = sorted.chunk_by(|a, b| a == b).collect();
    let (mut cuts, mut rows_left, mut held) = (Vec::new(), sorted.len(), 0);
    for pair in groups.windows(2) {
        held += pair[0].len();
        let bins_left = MOST - cuts.len();
        let full = if groups.len() <= MOST { 1 } else { rows_left.div_ceil(bins_left) };
        if bins_left > 1 && (held >= full || pair[1].len() >= full) {
            cuts.push(between(pair[0][0], pair[1][0]));
            rows_left -= held;
            held = 0;
        }
    }
    cuts
}

/// A finite number that `low` does not exceed and `high` does.
fn between(low: f32, high: f32) -> f32 {
    let middle = (f64::from(low) / 2.0 + f64::from(high) / 2.0) as f32;
    if middle.is_finite() && low <= middle && middle < high { middle } else { low.max(f32::MIN) }
}

/// A frame in bins, shape `[blocks][rows][BLOCK]`.
pub(super) struct Binned {
    blocks: Vec<Vec<[u8; BLOCK]>>,
    width: usize,
}

impl Binned {
    pub(super) fn new(frame: &Frame, cuts: &Cuts) -> Self {
        let width = frame.width();
        let fill = |block: usize| {
            let mut bins = vec![[MISSING; BLOCK]; frame.rows()];
            for column in block * BLOCK..width.min((block + 1) * BLOCK) {
                let slots = bins.iter_mut().map(|row| &mut row[column % BLOCK]);
                slots.zip(frame.column(column)).for_each(|(slot, value)| *slot = cuts.bin(column, *value));
            }
            bins
        };
        Self { blocks: (0..width.div_ceil(BLOCK)).into_par_iter().map(fill).collect(), width }
    }

    pub(super) fn blocks(&self) -> &[Vec<[u8; BLOCK]>] {
        &self.blocks
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Bin of a value.
    #[inline]
    pub(super) fn bin(&self, row: usize, column: usize) -> u8 {
        self.blocks[column / BLOCK][row][column % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f32], expected: &[f32]) {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        assert_eq!(cuts(&sorted), expected, "of {values:?}");
    }

    #[test]
    fn few_values_have_a_bin_each() {
        check(&[], &[]);
        check(&[7.0, 7.0], &[]);
        check(&[1.0, 3.0, 3.0, 9.0], &[2.0, 6.0]);
        check(&[f32::NEG_INFINITY, 0.0, f32::INFINITY], &[f32::MIN, 0.0]);
        check(&[1.0, 1.0f32.next_up()], &[1.0]);
        check(&[-0.0, 0.0, 1.0], &[0.5]);
    }

    #[test]
    fn many_values_share_bins_of_like_size_and_a_frequent_one_is_alone() {
        let mut values: Vec<f32> = (0..10_000).map(|at| at as f32).collect();
        values.extend([5_000.0; 5_000]);
        values.sort_unstable_by(f32::total_cmp);
        let ends = cuts(&values);
        assert_eq!(ends.len(), BINS - 2);
        assert!(ends.contains(&4_999.5) && ends.contains(&5_000.5));
        let bin = |value: f32| ends.partition_point(|end| *end < value);
        let mut sizes = vec![0; BINS - 1];
        values.iter().filter(|value| **value != 5_000.0).for_each(|value| sizes[bin(*value)] += 1);
        let shared: Vec<_> = sizes.iter().filter(|size| **size > 0).collect();
        assert!(shared.iter().all(|size| (10..=80).contains(*size)), "{sizes:?}");
    }

    #[test]
    fn a_value_is_in_the_bin_whose_end_it_does_not_exceed() {
        let mut frame = Frame::new(vec!["x".into()]);
        [1.0, 2.0, 4.0, f32::NAN].iter().for_each(|value| frame.push(&[*value]));
        let cuts = Cuts::learn(&frame, 1);
        let binned = Binned::new(&frame, &cuts);
        assert_eq!((0..4).map(|row| binned.bin(row, 0)).collect::<Vec<_>>(), [0, 1, 2, MISSING]);
        assert_eq!((cuts.bins(0), cuts.end(0, 0), cuts.bin(0, 1.5), cuts.bin(0, 1e9)), (3, 1.5, 0, 2));
    }
}

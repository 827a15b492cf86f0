//! Sums of gradients by bin, and the best split that they show.

use super::binning::{BINS, BLOCK, Binned, Cuts, MISSING};
use super::grow::Limits;
use rayon::prelude::*;

/// Below this many additions a second thread costs more than it saves.
const PARALLEL_FROM: usize = 1 << 17;

/// A training row with its derivatives of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) row: u32,
    pub(super) gradient: f32,
    pub(super) hessian: f32,
}

/// Sum of gradients and sum of hessians.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
}

impl Sums {
    pub(super) fn of(samples: &[Sample]) -> Self {
        samples.iter().fold(Self::default(), |sums, sample| sums.plus(sample))
    }

    #[inline]
    fn plus(self, sample: &Sample) -> Self {
        let (gradient, hessian) = (f64::from(sample.gradient), f64::from(sample.hessian));
        Self { gradient: self.gradient + gradient, hessian: self.hessian + hessian }
    }

    fn and(self, other: Self) -> Self {
        Self { gradient: self.gradient + other.gradient, hessian: self.hessian + other.hessian }
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self { gradient: self.gradient - other.gradient, hessian: self.hessian - other.hessian }
    }

    /// Twice what the loss falls by with the best leaf (Chen and Guestrin, "XGBoost", 2016, equation 6).
    fn worth(self, l2: f64) -> f64 {
        self.gradient * self.gradient / (self.hessian + l2).max(f64::MIN_POSITIVE)
    }
}

type Block = [[Sums; BINS]; BLOCK];

/// Sums by block, column and bin.
pub(super) struct Histogram(Vec<Box<Block>>);

/// A question that a node could ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// What the loss falls by, above zero.
    pub(super) gain: f64,
    pub(super) column: usize,
    /// Bins up to and including this go left.
    pub(super) bin: u8,
    pub(super) missing_right: bool,
    /// Sums of the rows that go left.
    pub(super) left: Sums,
}

/// The better one; the earlier when they are equal, so that the result does not depend on threads.
fn better(a: Option<Split>, b: Option<Split>) -> Option<Split> {
    match (a, b) {
        (Some(first), Some(second)) if second.gain > first.gain => Some(second),
        (None, second) => second,
        (first, _) => first,
    }
}

/// What all nodes of a tree look for splits in.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) binned: &'a Binned,
    pub(super) cuts: &'a Cuts,
    /// Columns that this tree may ask about.
    pub(super) columns: &'a [bool],
    pub(super) limits: Limits,
}

impl Field<'_> {
    /// Sums of a root, and its best split.
    pub(super) fn root(&self, samples: &[Sample]) -> (Histogram, Option<Split>) {
        let total = Sums::of(samples);
        let build = |(block, bins): (usize, &Vec<[u8; BLOCK]>)| {
            let sums = accumulate(bins, samples);
            let best = self.best_in(block, &sums, total);
            (sums, best)
        };
        let blocks: Vec<_> = if self.is_large(samples) {
            self.binned.blocks().par_iter().enumerate().map(build).collect()
        } else {
            self.binned.blocks().iter().enumerate().map(build).collect()
        };
        let best = blocks.iter().fold(None, |best, (_, split)| better(best, *split));
        (Histogram(blocks.into_iter().map(|(sums, _)| sums).collect()), best)
    }

    /// The same for both children, from the samples of the one and the histogram of their parent: what is in the
    /// parent and not in the one is in the other. The given child's comes first.
    pub(super) fn children(
        &self,
        parent: Histogram,
        samples: &[Sample],
        totals: [Sums; 2],
    ) -> [(Histogram, Option<Split>); 2] {
        let build = |((block, mut other), bins): ((usize, Box<Block>), &Vec<[u8; BLOCK]>)| {
            let sums = accumulate(bins, samples);
            for (slot, sum) in other.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                *slot = slot.less(*sum);
            }
            let best = [self.best_in(block, &sums, totals[0]), self.best_in(block, &other, totals[1])];
            ([sums, other], best)
        };
        let blocks: Vec<_> = if self.is_large(samples) {
            parent.0.into_par_iter().enumerate().zip(self.binned.blocks()).map(build).collect()
        } else {
            parent.0.into_iter().enumerate().zip(self.binned.blocks()).map(build).collect()
        };
        let mut children = [(); 2].map(|()| (Histogram(Vec::with_capacity(blocks.len())), None));
        for (sums, best) in blocks {
            for ((child, sums), split) in children.iter_mut().zip(sums).zip(best) {
                child.0.0.push(sums);
                child.1 = better(child.1, split);
            }
        }
        children
    }

    fn is_large(&self, samples: &[Sample]) -> bool {
        samples.len() * self.binned.width() >= PARALLEL_FROM
    }

    fn best_in(&self, block: usize, sums: &Block, total: Sums) -> Option<Split> {
        let columns = block * BLOCK..self.binned.width().min((block + 1) * BLOCK);
        let allowed = columns.zip(sums).filter(|(column, _)| self.columns[*column]);
        allowed.fold(None, |best, (column, bins)| better(best, self.best_of(column, bins, total)))
    }

    fn best_of(&self, column: usize, bins: &[Sums; BINS], total: Sums) -> Option<Split> {
        let missing = bins[usize::from(MISSING)];
        let Limits { l2, child_weight_min, gain_min, .. } = self.limits;
        let without = total.worth(l2);
        // Sums found by subtraction are not exactly zero.
        let none_missing = missing.hessian <= total.hessian * 1e-9;
        let mut best: Option<Split> = None;
        let mut known = Sums::default();
        let last = self.cuts.bins(column) - 1;
        for (bin, sums) in bins.iter().enumerate().take(last + usize::from(!none_missing)) {
            known = known.and(*sums);
            let ways: &[bool] = match (none_missing, bin == last) {
                (true, _) => &[false],
                // At the last bin the question is whether there is a value at all.
                (_, true) => &[true],
                _ => &[false, true],
            };
            for &missing_right in ways {
                let left = if missing_right { known } else { known.and(missing) };
                let right = total.less(left);
                if left.hessian < child_weight_min || right.hessian < child_weight_min {
                    continue;
                }
                let gain = (left.worth(l2) + right.worth(l2) - without) / 2.0;
                if gain > gain_min && best.is_none_or(|best| gain > best.gain) {
                    best = Some(Split { gain, column, bin: bin as u8, missing_right, left });
                }
            }
        }
        // Where training has no missing value, the larger child takes those to come.
        let larger_right = |split: &Split| split.left.hessian * 2.0 < total.hessian;
        best.map(
            |split| if none_missing { Split { missing_right: larger_right(&split), ..split } } else { split },
        )
    }
}

fn accumulate(bins: &[[u8; BLOCK]], samples: &[Sample]) -> Box<Block> {
    let mut sums = Box::new([[Sums::default(); BINS]; BLOCK]);
    for sample in samples {
        for (column, bin) in sums.iter_mut().zip(bins[sample.row as usize]) {
            let slot = &mut column[usize::from(bin)];
            *slot = slot.plus(sample);
        }
    }
    sums
}

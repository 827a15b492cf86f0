//! Isolation forest (Liu, Ting and Zhou, "Isolation Forest", 2008): what few random questions set apart is unusual.

use super::examples::{sample, within};
use super::{Document, FitError, Link, MEAN_TREES_MAX, TreeDocument, Trees, WIDTH_MAX};
use crate::frame::Frame;
use crate::simulate::Random;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Largest sample of a tree: its depth is at most the logarithm.
const SAMPLE_MAX: usize = 4_096;

/// How an isolation forest is fitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Number of trees, 1 to 500.
    pub trees: usize,
    /// Rows that a tree is made from, 2 to 4,096.
    pub sample: usize,
    /// Seed of all that is random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { trees: 200, sample: 256, seed: 1 }
    }
}

impl Settings {
    /// Makes sure that every setting is in its range; [`FitError::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), FitError> {
        within("trees", self.trees as f64, 1.0..=MEAN_TREES_MAX as f64, "1 to 500")?;
        within("sample", self.sample as f64, 2.0..=SAMPLE_MAX as f64, "2 to 4096")
    }
}

/// A fitted isolation forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Isolation {
    /// Leaves are lengths of paths, as a share of the longest that one can stand for.
    trees: Trees,
    /// That longest path, in mean paths of usual rows (`c` of the paper).
    longest: f32,
}

impl Isolation {
    /// How unusual a row of shape `[width]` is, 0 to 1; about 0.5 and below is usual. A missing value goes where more rows
    /// went. `NaN` for a shorter row.
    pub fn score(&self, row: &[f32]) -> f64 {
        (-self.trees.raw(row) * f64::from(self.longest)).exp2()
    }

    /// The trees; contributions to what they say are to the mean path, where shorter is more unusual.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }
}

/// Fits an isolation forest on rows that should be mostly usual.
pub fn fit(frame: &Frame, settings: &Settings) -> Result<Isolation, FitError> {
    settings.check()?;
    let (rows, columns) = (frame.rows(), frame.width());
    if rows < 2 || columns == 0 || columns > WIDTH_MAX {
        return Err(FitError::Shape { rows, columns });
    }
    let size = settings.sample.min(rows);
    let depth = size.ilog2() as usize + usize::from(!size.is_power_of_two());
    let longest = depth as f64 + path_length(size);
    let mut seeds = Random::new(settings.seed);
    let seeds: Vec<u64> = (0..settings.trees).map(|_| seeds.identifier()).collect();
    let all: Vec<usize> = (0..rows).collect();
    let grow = |&seed: &u64| {
        let mut random = Random::new(seed);
        let chosen = sample(&all, size, &mut random);
        let mut growth = Growth { frame, random, longest, tree: TreeDocument::default() };
        growth.push(0, chosen.len());
        growth.split(0, &chosen, depth, 0);
        growth.tree
    };
    let trees = seeds.par_iter().map(grow).collect();
    let trees = Trees::try_from(Document { link: Link::Mean, width: columns, base: 0.0, trees })?;
    Ok(Isolation { trees, longest: (longest / path_length(size)) as f32 })
}

/// Mean length of an unsuccessful search in a binary tree of `rows` leaves: `2 H(n - 1) - 2 (n - 1) / n`.
fn path_length(rows: usize) -> f64 {
    let harmonic: f64 = (1..rows).map(|n| 1.0 / n as f64).sum();
    if rows < 2 { 0.0 } else { 2.0 * harmonic - 2.0 * (rows - 1) as f64 / rows as f64 }
}

struct Growth<'a> {
    frame: &'a Frame,
    random: Random,
    longest: f64,
    tree: TreeDocument,
}

impl Growth<'_> {
    /// Adds a leaf of `rows` at this depth; what would follow is counted in.
    fn push(&mut self, depth: usize, rows: usize) {
        let share = (depth as f64 + path_length(rows)) / self.longest;
        self.tree.push_leaf(share.min(1.0) as f32, rows.max(1) as f32);
    }

    fn split(&mut self, at: usize, rows: &[usize], levels: usize, depth: usize) {
        if levels == 0 || rows.len() < 2 {
            return;
        }
        let Some((column, threshold)) = self.question(rows) else { return };
        let values = self.frame.column(column);
        let mut sides = [Vec::new(), Vec::new()];
        let known = rows.iter().filter(|row| !values[**row].is_nan());
        known.for_each(|row| sides[usize::from(values[*row] > threshold)].push(*row));
        let missing_right = sides[1].len() > sides[0].len();
        sides[usize::from(missing_right)].extend(rows.iter().filter(|row| values[**row].is_nan()));
        let left = self.tree.nodes();
        self.tree.feature[at] = column as u16;
        self.tree.threshold[at] = threshold;
        self.tree.left[at] = left as u16;
        self.tree.missing_right[at] = missing_right;
        self.tree.value[at] = 0.0;
        sides.iter().for_each(|side| self.push(depth + 1, side.len()));
        for (child, side) in sides.iter().enumerate() {
            self.split(left + child, side, levels - 1, depth + 1);
        }
    }

    /// A random column among those that vary, and a random place between its lowest and highest value.
    fn question(&mut self, rows: &[usize]) -> Option<(usize, f32)> {
        let mut columns: Vec<usize> = (0..self.frame.width()).collect();
        while !columns.is_empty() {
            let column = columns.swap_remove(self.random.below(columns.len()));
            let values =
                rows.iter().map(|row| self.frame.column(column)[*row]).filter(|value| value.is_finite());
            let (low, high) =
                values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
            if low < high {
                let place = f64::from(low) + self.random.uniform() * (f64::from(high) - f64::from(low));
                // Rounding may not take the highest value to the left.
                return Some((column, (place as f32).clamp(low, high.next_down())));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal rows in three columns, of which one misses a value now and then and one is constant.
    fn usual(rows: usize) -> Frame {
        let mut random = Random::new(1);
        let mut frame = Frame::new(["a", "b", "c"].map(String::from).to_vec());
        for _ in 0..rows {
            let b = if random.chance(0.2) { f32::NAN } else { random.normal() as f32 };
            frame.push(&[random.normal() as f32, b, 7.0]);
        }
        frame
    }

    #[test]
    fn mean_paths_are_those_of_the_paper() {
        for (rows, expected) in [(0, 0.0), (1, 0.0), (2, 1.0), (3, 5.0 / 3.0), (256, 10.248689925634562)] {
            assert!((path_length(rows) - expected).abs() < 1e-9, "{rows}: {}", path_length(rows));
        }
    }

    #[test]
    fn what_is_far_from_the_rest_scores_higher() {
        let forest = fit(&usual(2_000), &Settings { trees: 100, ..Settings::default() }).unwrap();
        let centre = forest.score(&[0.0, 0.0, 7.0]);
        let mut last = centre;
        for far in [2.0, 4.0] {
            let score = forest.score(&[far, -far, 7.0]);
            assert!(score > last + 0.05 && score < 1.0, "{score} after {last}");
            last = score;
        }
        assert!(centre < 0.5 && last > 0.65, "{centre} and {last}");
        let missing = forest.score(&[0.0, f32::NAN, 7.0]);
        assert!((missing - centre).abs() < 0.05, "{missing}");
    }

    #[test]
    fn the_seed_alone_decides_and_an_artifact_keeps_all() {
        let frame = usual(500);
        let settings = Settings { trees: 20, sample: 100, seed: 3 };
        let forest = fit(&frame, &settings).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert!(pool.install(|| fit(&frame, &settings).unwrap()) == forest);
        assert!(fit(&frame, &Settings { seed: 4, ..settings }).unwrap() != forest);
        let text = serde_json::to_string(&forest).unwrap();
        assert!(serde_json::from_str::<Isolation>(&text).unwrap() == forest);
    }

    #[test]
    fn rows_that_are_all_alike_are_all_usual() {
        let mut frame = Frame::new(vec!["a".into()]);
        (0..300).for_each(|_| frame.push(&[1.0]));
        let forest = fit(&frame, &Settings::default()).unwrap();
        assert!((forest.score(&[1.0]) - 0.5).abs() < 1e-6 && (forest.score(&[9.0]) - 0.5).abs() < 1e-6);
        let refused = fit(&Frame::new(vec!["a".into()]), &Settings::default());
        assert_eq!(refused, Err(FitError::Shape { rows: 0, columns: 1 }));
    }
}

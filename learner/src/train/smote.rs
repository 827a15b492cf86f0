//! SMOTE: synthetic minority rows between real neighbours (Chawla et al., 2002, "SMOTE: Synthetic Minority
//! Over-sampling Technique").

use crate::simulate::Random;
use ndarray::{Array2, ArrayView1, Axis};

/// Neighbours a synthetic row may lean towards, as in the paper.
const NEIGHBOURS: usize = 5;

/// `count` synthetic rows from real minority rows (shape `[rows][columns]`): each lies on the line between a row and
/// one of its five nearest neighbours. Fewer than two rows have no line between them and give nothing.
///
/// Call it with rows of the training part only: resampling before the split puts neighbours of the test rows into the
/// training rows, and every figure after that is worthless.
pub fn oversample(minority: &Array2<f64>, count: usize, seed: u64) -> Array2<f64> {
    let columns = minority.ncols();
    if minority.nrows() < 2 {
        return Array2::zeros((0, columns));
    }
    let neighbours = neighbours(minority);
    let mut random = Random::new(seed);
    let mut synthetic = Array2::zeros((count, columns));
    for (nth, mut row) in synthetic.axis_iter_mut(Axis(0)).enumerate() {
        let from = nth % minority.nrows();
        let near = &neighbours[from];
        let to = near[random.below(near.len())];
        let part = random.uniform();
        row.assign(&minority.row(from));
        row.zip_mut_with(&minority.row(to), |x, y| *x += part * (y - *x));
    }
    synthetic
}

/// Indices of each row's nearest others; ties go to the earlier row.
fn neighbours(rows: &Array2<f64>) -> Vec<Vec<usize>> {
    let nearest = |of: usize| {
        let mut others: Vec<(f64, usize)> = (0..rows.nrows())
            .filter(|&other| other != of)
            .map(|other| (distance(rows.row(of), rows.row(other)), other))
            .collect();
        let keep = NEIGHBOURS.min(others.len());
        if others.len() > keep {
            others.select_nth_unstable_by(keep, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            others.truncate(keep);
        }
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.into_iter().map(|(_, other)| other).collect()
    };
    (0..rows.nrows()).map(nearest).collect()
}

fn distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn nearest_first() {
        let rows = array![[0.0], [1.0], [10.0], [11.0], [12.0], [13.0], [14.0], [100.0]];
        assert_eq!(neighbours(&rows)[0], [1, 2, 3, 4, 5]);
        assert_eq!(neighbours(&rows)[7], [6, 5, 4, 3, 2]);
    }

    #[test]
    fn one_row_has_no_neighbours() {
        assert_eq!(oversample(&array![[1.0, 2.0]], 10, 1).nrows(), 0);
    }

    proptest! {
        #[test]
        fn synthetic_rows_lie_between_two_real_ones(
            values in prop::collection::vec(-100.0..100.0f64, 6..60), count in 1..50usize, seed: u64,
        ) {
            let rows = values.len() / 3;
            let minority = Array2::from_shape_vec((rows, 3), values[..rows * 3].to_vec()).unwrap();
            let synthetic = oversample(&minority, count, seed);
            prop_assert_eq!(synthetic.nrows(), count);
            for row in synthetic.rows() {
                let between = (0..rows).any(|a| (0..rows).any(|b| on_line(row, minority.row(a), minority.row(b))));
                prop_assert!(between);
            }
            prop_assert_eq!(oversample(&minority, count, seed), synthetic);
        }
    }

    fn on_line(row: ArrayView1<'_, f64>, a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> bool {
        let direct = distance(a, b).sqrt();
        (distance(a, row).sqrt() + distance(row, b).sqrt() - direct).abs() < 1e-7 * (1.0 + direct)
    }
}

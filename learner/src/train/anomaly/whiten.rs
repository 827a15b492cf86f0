//! Whitening of rows by their shrunk covariance.

use crate::anomaly::Whitening;
use crate::train::product::product;
use ndarray::Array2;

/// Least share of the equal variance that the covariance is shrunk to.
const SHRINKAGE_MIN: f64 = 0.02;

/// Passes of the iteration at most; each makes the distance of small eigenvalues 2.25 times as small, and the shrinkage
/// bounds how small they are.
const PASSES_MAX: usize = 60;

/// Learns where normal rows (shape `[rows][width]`) lie and how they spread. The covariance is shrunk towards equal
/// variances without correlation (Ledoit and Wolf, 2004), the more the fewer rows there are a column. Sums run in one
/// order in double precision.
pub(super) fn whitening(rows: &Array2<f32>) -> Whitening {
    let (count, width) = rows.dim();
    let mean = |column: ndarray::ArrayView1<'_, f32>| {
        column.iter().map(|&x| f64::from(x)).sum::<f64>() / count.max(1) as f64
    };
    let centre: Vec<f64> = rows.columns().into_iter().map(mean).collect();
    let root = inverse_root(&shrunk(covariance(rows, &centre), count));
    Whitening {
        centre: centre.iter().map(|x| *x as f32).collect(),
        rows: (0..width).map(|at| root.row(at).iter().take(at + 1).map(|x| *x as f32).collect()).collect(),
    }
}

fn covariance(rows: &Array2<f32>, centre: &[f64]) -> Array2<f64> {
    let width = centre.len();
    let mut sums = Array2::<f64>::zeros((width, width));
    let mut apart = vec![0.0; width];
    for row in rows.rows() {
        apart
            .iter_mut()
            .zip(row.iter().zip(centre))
            .for_each(|(slot, (x, mean))| *slot = f64::from(*x) - mean);
        for (mut line, x) in sums.rows_mut().into_iter().zip(&apart) {
            line.iter_mut().zip(&apart).for_each(|(sum, y)| *sum += x * y);
        }
    }
    sums /= (rows.nrows().saturating_sub(1)).max(1) as f64;
    sums
}

fn shrunk(mut covariance: Array2<f64>, rows: usize) -> Array2<f64> {
    let width = covariance.nrows();
    let share = (width as f64 / (width + rows).max(1) as f64).max(SHRINKAGE_MIN);
    // Without any spread at all every direction counts alike.
    let mean = (covariance.diag().sum() / width.max(1) as f64).max(1e-6);
    covariance *= 1.0 - share;
    covariance.diag_mut().mapv_inplace(|variance| variance + share * mean);
    covariance
}

/// Inverse of the symmetric square root of a positive definite matrix (the coupled Newton-Schulz iteration, Higham, 2008).
fn inverse_root(matrix: &Array2<f64>) -> Array2<f64> {
    let width = matrix.nrows();
    // The trace is no less than the largest eigenvalue, so that all of them come to lie between 0 and 1.
    let size = matrix.diag().sum().max(f64::MIN_POSITIVE);
    let (mut root, mut inverse) = (matrix / size, Array2::<f64>::eye(width));
    for _ in 0..PASSES_MAX {
        let mut middle = product(inverse.view(), root.view());
        middle.mapv_inplace(|x| -0.5 * x);
        middle.diag_mut().mapv_inplace(|x| x + 1.5);
        root = product(root.view(), middle.view());
        inverse = product(middle.view(), inverse.view());
        let off =
            middle.indexed_iter().map(|((row, column), x)| (x - if row == column { 1.0 } else { 0.0 }).abs());
        if off.fold(0.0, f64::max) < 1e-9 {
            break;
        }
    }
    inverse / size.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Random;

    fn distance(whitening: &Whitening, row: &[f32]) -> f32 {
        whitening.squared_distance(row) / row.len() as f32
    }

    #[test]
    fn the_root_of_the_inverse_is_one() {
        let mut random = Random::new(3);
        let factor =
            Array2::from_shape_simple_fn((12, 9), || random.normal() * 1e3f64.powf(random.uniform()));
        let matrix = product(factor.t(), factor.view());
        let root = inverse_root(&matrix);
        let one = product(product(root.view(), matrix.view()).view(), root.view());
        let off = (&one - &Array2::<f64>::eye(9)).iter().fold(0.0, |off: f64, x| off.max(x.abs()));
        assert!(off < 1e-5, "{off}");
    }

    fn rows(random: &mut Random, count: usize) -> Array2<f32> {
        let mut rows = Array2::zeros((count, 3));
        for mut row in rows.rows_mut() {
            let (a, b, c) = (random.normal(), random.normal(), random.normal());
            row[0] = (5.0 + 3.0 * a) as f32;
            row[1] = (2.0 * a + b) as f32;
            row[2] = (a - b + 0.5 * c) as f32;
        }
        rows
    }

    #[test]
    fn the_distance_of_normal_rows_is_one_on_average_and_more_against_the_grain() {
        let mut random = Random::new(8);
        let learned = whitening(&rows(&mut random, 4_000));
        let others = rows(&mut random, 4_000);
        let distances: f32 =
            others.rows().into_iter().map(|row| distance(&learned, row.as_slice().unwrap())).sum();
        // A little below 1, as the shrinkage adds to the narrowest direction.
        assert!((0.75..1.02).contains(&(distances / 4_000.0)), "{}", distances / 4_000.0);
        // Both are 3 standard deviations off in both columns; only one way is how they go together.
        let (with, against) = (distance(&learned, &[14.0, 6.0, 3.0]), distance(&learned, &[14.0, -6.0, 3.0]));
        assert!(against > 5.0 * with, "{against} against the grain, {with} with it");
    }

    #[test]
    fn distances_are_those_worked_by_hand() {
        // Variances 4 and 1 without correlation, of eight rows: a fifth goes to their mean of 2.5.
        let corner = (3.5f32).sqrt();
        let flat = (3.5f32 / 4.0).sqrt();
        let mut table = Array2::zeros((8, 2));
        for (at, mut row) in table.rows_mut().into_iter().enumerate() {
            row[0] = if at % 2 == 0 { corner } else { -corner };
            row[1] = if at / 2 % 2 == 0 { flat } else { -flat };
        }
        let learned = whitening(&table);
        let expected = (4.0 / (0.8 * 4.0 + 0.2 * 2.5) + 9.0 / (0.8 + 0.2 * 2.5)) / 2.0;
        assert!(
            (distance(&learned, &[2.0, 3.0]) - expected).abs() < 1e-3,
            "{}",
            distance(&learned, &[2.0, 3.0])
        );
    }

    #[test]
    fn constant_and_repeated_columns_still_give_a_distance() {
        let mut table = Array2::zeros((50, 4));
        table.rows_mut().into_iter().enumerate().for_each(|(at, mut row)| {
            row[0] = at as f32;
            row[1] = at as f32;
            row[2] = 7.0;
        });
        let learned = whitening(&table);
        let usual = distance(&learned, &[20.0, 20.0, 7.0, 0.0]);
        assert!(usual.is_finite() && distance(&learned, &[20.0, 20.0, 60.0, 0.0]) > usual + 1.0);
        assert!(distance(&whitening(&Array2::zeros((3, 2))), &[1.0, 0.0]).is_finite());
    }
}

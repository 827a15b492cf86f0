//! Products of matrices whose sums run in one order, whatever the machine: the library's own products pick fused
//! instructions where the processor has them, and then round differently.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, LinalgScalar};
use std::ops::AddAssign;

/// Rows and columns of a result that are summed at a time: as many as registers hold.
const ROWS: usize = 4;
const COLUMNS: usize = 8;

/// `a` times `b`; each sum runs over the shared dimension from first to last.
pub(super) fn product<N: LinalgScalar + AddAssign>(a: ArrayView2<'_, N>, b: ArrayView2<'_, N>) -> Array2<N> {
    let (rows, columns) = (a.nrows(), b.ncols());
    let a = a.as_standard_layout();
    let lines: Vec<&[N]> = a.axis_iter(Axis(0)).map(|row| row.to_slice().unwrap_or_default()).collect();
    let mut out = Array2::zeros((rows, columns));
    for left in (0..columns).step_by(COLUMNS) {
        let panel = panel(b, left);
        for top in (0..rows).step_by(ROWS) {
            // Below the last row the block repeats it, and what comes of that is left out.
            let line = |at: usize| lines[(top + at).min(rows - 1)];
            let sums = block([line(0), line(1), line(2), line(3)], &panel);
            for (sums, mut row) in sums.iter().zip(out.axis_iter_mut(Axis(0)).skip(top)) {
                row.iter_mut().skip(left).zip(sums).for_each(|(slot, sum)| *slot = *sum);
            }
        }
    }
    out
}

/// Columns of `b` from `left` on, row by row, filled up with zeros.
fn panel<N: LinalgScalar>(b: ArrayView2<'_, N>, left: usize) -> Vec<[N; COLUMNS]> {
    let row = |row: ArrayView1<'_, N>| {
        let mut cells = [N::zero(); COLUMNS];
        cells.iter_mut().zip(row.iter().skip(left)).for_each(|(cell, x)| *cell = *x);
        cells
    };
    b.axis_iter(Axis(0)).map(row).collect()
}

fn block<N: LinalgScalar + AddAssign>(lines: [&[N]; ROWS], panel: &[[N; COLUMNS]]) -> [[N; COLUMNS]; ROWS] {
    let [first, second, third, fourth] = lines;
    let mut sums = [[N::zero(); COLUMNS]; ROWS];
    for ((((cells, &a), &b), &c), &d) in panel.iter().zip(first).zip(second).zip(third).zip(fourth) {
        for (at, &cell) in cells.iter().enumerate() {
            sums[0][at] += a * cell;
            sums[1][at] += b * cell;
            sums[2][at] += c * cell;
            sums[3][at] += d * cell;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Random;

    #[test]
    fn products_of_any_shape_are_the_librarys_up_to_rounding() {
        let mut random = Random::new(3);
        let mut matrix =
            |rows, columns| Array2::from_shape_simple_fn((rows, columns), || random.normal() as f32);
        for (rows, shared, columns) in [(1, 1, 1), (4, 8, 8), (5, 7, 9), (13, 3, 17), (2, 40, 1), (3, 0, 2)] {
            let (a, b) = (matrix(rows, shared), matrix(shared, columns));
            let (ours, theirs) = (product(a.view(), b.view()), a.dot(&b));
            assert_eq!(ours.dim(), (rows, columns));
            let far = (&ours - &theirs).iter().fold(0f32, |far, x| far.max(x.abs()));
            assert!(far < 1e-4, "{rows} x {shared} x {columns} is off by {far}");
            let transposed = product(b.t(), a.t());
            assert_eq!(transposed.t(), ours, "{rows} x {shared} x {columns}, transposed");
        }
    }
}

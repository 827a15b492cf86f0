//! Normal rows that are made wrong on purpose, by which detectors can be compared where nobody knows an attack.

use super::learn::Columns;
use crate::evaluate::Scored;
use crate::simulate::Random;
use std::ops::Range;

/// Share of a row's columns that are made wrong; at least one is.
const SHARE: f64 = 0.1;
/// Rows made wrong at most.
const ROWS_MAX: usize = 4_000;

/// Rows of which a tenth of the columns have the values of other rows: each value occurs, and not with the others.
pub(super) fn misplaced(columns: &Columns, rows: Range<usize>, random: &mut Random) -> Columns {
    let (first, count) = (rows.start, rows.len());
    altered(columns, rows, random, &mut |odd, at, column, random| {
        let from = first + random.below(count.max(1));
        let width = columns.numbers.width();
        if column < width {
            odd.numbers.column_mut(column)[at] = columns.numbers.column(column)[from];
        } else {
            odd.categories[column - width][at] = columns.categories[column - width][from];
        }
    })
}

/// Rows of which a tenth of the numbers are anywhere between the column's lowest and highest value.
pub(super) fn anywhere(columns: &Columns, rows: Range<usize>, random: &mut Random) -> Columns {
    let range = |column: usize| {
        let values = columns.numbers.column(column)[rows.clone()].iter().filter(|value| value.is_finite());
        values.fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)))
    };
    let ranges: Vec<(f32, f32)> = (0..columns.numbers.width()).map(range).collect();
    altered(columns, rows.clone(), random, &mut |odd, at, column, random| {
        if let Some((low, high)) = ranges.get(column).filter(|(low, high)| low <= high) {
            let place = f64::from(*low) + random.uniform() * (f64::from(*high) - f64::from(*low));
            odd.numbers.column_mut(column)[at] = place as f32;
        }
    })
}

/// The latest of these rows, each with a tenth of its columns altered.
fn altered(
    columns: &Columns,
    rows: Range<usize>,
    random: &mut Random,
    alter: &mut dyn FnMut(&mut Columns, usize, usize, &mut Random),
) -> Columns {
    let rows = rows.end - rows.len().min(ROWS_MAX)..rows.end;
    let mut odd = columns.select(&rows.collect::<Vec<_>>());
    let width = columns.numbers.width() + columns.categories.len();
    for at in 0..odd.rows() {
        let certain = random.below(width.max(1));
        for column in 0..width {
            if column == certain || random.chance(SHARE) {
                alter(&mut odd, at, column, random);
            }
        }
    }
    odd
}

/// Scores of normal rows and of odd ones.
pub(super) fn scored(normal: &[f64], odd: &[f64]) -> Vec<Scored> {
    let of = |scores: &[f64], positive: bool| {
        scores.iter().map(|&score| Scored { score, positive }).collect::<Vec<_>>()
    };
    [of(normal, false), of(odd, true)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn columns() -> Columns {
        let mut columns = Columns {
            numbers: Frame::new(vec!["a".into(), "b".into(), "c".into()]),
            categories: vec![Vec::new()],
        };
        for row in 0..500 {
            let b = if row % 7 == 0 { f32::NAN } else { row as f32 * 2.0 };
            columns.push(&[row as f32, b, 5.0], &[Some(row)]);
        }
        columns
    }

    #[test]
    fn rows_are_wrong_in_some_columns_and_by_values_that_there_are() {
        let columns = columns();
        let odd = misplaced(&columns, 100..500, &mut Random::new(1));
        assert_eq!(odd.rows(), 400);
        let (mut changed, mut rows_changed) = (0, 0);
        for row in 0..400 {
            let number = |of: &Columns, column: usize, at: usize| of.numbers.column(column)[at];
            let apart = (0..3).filter(|&column| {
                number(&odd, column, row).to_bits() != number(&columns, column, row + 100).to_bits()
            });
            let apart =
                apart.count() + usize::from(odd.categories[0][row] != columns.categories[0][row + 100]);
            changed += apart;
            rows_changed += usize::from(apart > 0);
            let [a, b, c] = [0, 1, 2].map(|column| number(&odd, column, row));
            assert!((100.0..500.0).contains(&a) && c == 5.0 && (b.is_nan() || (200.0..1_000.0).contains(&b)));
        }
        // A quarter of the certain columns is the constant one, and its value is that of any other row.
        assert!(
            (280..=360).contains(&rows_changed) && (330..=480).contains(&changed),
            "{rows_changed} {changed}"
        );
    }

    #[test]
    fn values_anywhere_lie_between_the_lowest_and_the_highest() {
        let columns = columns();
        let odd = anywhere(&columns, 0..500, &mut Random::new(1));
        let whole = |value: &f32| value.is_nan() || value.fract() == 0.0;
        for (column, range) in [(0, 0.0..=499.0), (1, 0.0..=998.0), (2, 5.0..=5.0)] {
            let values = odd.numbers.column(column);
            assert!(values.iter().all(|value| value.is_nan() || range.contains(value)), "column {column}");
        }
        assert!((100..250).contains(&odd.numbers.column(0).iter().filter(|value| !whole(value)).count()));
        assert!(odd.categories == columns.categories, "numbers alone have a range");
        let empty = Columns { numbers: Frame::new(vec!["a".into()]), categories: Vec::new() };
        assert_eq!(anywhere(&empty, 0..0, &mut Random::new(1)).rows(), 0);
    }
}

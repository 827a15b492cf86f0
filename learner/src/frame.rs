//! Rows by features as training sees them, column by column.

/// A table of numbers with a name for each column; `NaN` is a missing value. Columns are equally long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    names: Vec<String>,
    columns: Vec<Vec<f32>>,
}

impl Frame {
    /// An empty frame with these columns.
    pub fn new(names: Vec<String>) -> Self {
        let columns = vec![Vec::new(); names.len()];
        Self { names, columns }
    }

    /// Names of the columns, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The values of a column, one a row.
    pub fn column(&self, at: usize) -> &[f32] {
        &self.columns[at]
    }

    /// Adds a row; shape `[width]`.
    pub fn push(&mut self, row: &[f32]) {
        debug_assert_eq!(row.len(), self.width());
        self.columns.iter_mut().zip(row).for_each(|(column, value)| column.push(*value));
    }

    /// Adds a column; one value a row.
    pub fn append(&mut self, name: String, column: Vec<f32>) {
        debug_assert!(self.columns.is_empty() || column.len() == self.rows());
        self.names.push(name);
        self.columns.push(column);
    }

    /// Leaves out all columns but the first `width`.
    pub fn truncate(&mut self, width: usize) {
        self.names.truncate(width);
        self.columns.truncate(width);
    }

    /// Adds the rows of a frame with the same columns.
    pub fn extend(&mut self, other: Self) {
        debug_assert_eq!(self.names, other.names);
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.extend(more);
        }
    }

    /// Copies a row into `out`; shape `[width]`.
    pub fn row(&self, at: usize, out: &mut [f32]) {
        out.iter_mut().zip(&self.columns).for_each(|(slot, column)| *slot = column[at]);
    }

    /// The rows at these places, in their order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let pick = |column: &Vec<f32>| rows.iter().map(|&row| column[row]).collect();
        Self { names: self.names.clone(), columns: self.columns.iter().map(pick).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_and_come_out() {
        let mut frame = Frame::new(vec!["a".into(), "b".into()]);
        for row in [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]] {
            frame.push(&row);
        }
        let chosen = frame.select(&[2, 0]);
        let mut row = [0.0; 2];
        chosen.row(0, &mut row);
        assert_eq!((chosen.rows(), chosen.width(), row), (2, 2, [5.0, 6.0]));
        assert_eq!(chosen.column(1), [6.0, 2.0]);
    }
}

//! Columns for the levels of categories that are frequent enough to have one.

use crate::behaviour::Schema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Fewer training rows than this are too few for a column.
const ROWS_MIN: usize = 30;

/// A level with a column: 1 where an event has it, 0 where it has another or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Index of the category in the schema.
    pub category: usize,
    /// Hash of the level.
    pub hash: u64,
    /// What it is called in data.
    pub text: String,
}

/// The levels with a column, in the order of their columns, which follow those of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoder {
    levels: Vec<Level>,
}

impl Encoder {
    /// Levels with at least `share` of the training rows, at most `most` a category and `room` altogether, the most
    /// frequent first. Shape of `categories`: `[categories][rows]`, 0 for missing; `text` names a level of a category.
    pub(crate) fn learn(
        categories: &[Vec<u64>],
        share: f64,
        (most, room): (usize, usize),
        text: impl Fn(usize, u64) -> Option<String>,
    ) -> Self {
        let mut found = Vec::new();
        for (category, column) in categories.iter().enumerate() {
            let mut counts: HashMap<u64, usize> = HashMap::new();
            column.iter().filter(|&&hash| hash != 0).for_each(|&hash| *counts.entry(hash).or_default() += 1);
            let least = ((column.len() as f64 * share).ceil() as usize).max(ROWS_MIN);
            let mut frequent: Vec<(u64, usize)> = counts.into_iter().filter(|(_, n)| *n >= least).collect();
            frequent.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            found.extend(frequent.into_iter().take(most).map(|(hash, rows)| (rows, category, hash)));
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        found.truncate(room);
        found.sort_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)).then(a.2.cmp(&b.2)));
        let level = |(_, category, hash): (usize, usize, u64)| {
            let text = text(category, hash).unwrap_or_else(|| format!("{hash:016x}"));
            Level { category, hash, text }
        };
        let levels = found.into_iter().map(level).collect();
        Self { levels }
    }

    /// The levels with a column.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Names of the columns: `category=level`.
    pub fn names<'a>(&'a self, schema: &'a Schema) -> impl Iterator<Item = String> + 'a {
        self.levels.iter().map(|level| {
            let category = schema.inputs().categorical.get(level.category).map_or("?", String::as_str);
            format!("{category}={}", level.text)
        })
    }

    /// The columns of many rows; `categories` as in [`Encoder::learn`].
    pub(crate) fn columns(&self, schema: &Schema, categories: &[Vec<u64>]) -> Vec<(String, Vec<f32>)> {
        let column = |level: &Level| {
            let hashes = categories.get(level.category).map(Vec::as_slice).unwrap_or_default();
            hashes.iter().map(|&hash| f32::from(u8::from(hash == level.hash))).collect()
        };
        self.names(schema).zip(self.levels.iter().map(column)).collect()
    }

    /// Adds the columns of one event to its vector.
    pub fn extend(&self, categories: &[Option<u64>], out: &mut Vec<f32>) {
        out.extend(self.levels.iter().map(|level| {
            let has = categories.get(level.category).is_some_and(|hash| *hash == Some(level.hash));
            f32::from(u8::from(has))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Inputs;

    #[test]
    fn one_event_and_many_rows_are_encoded_alike() {
        let schema = Schema::new(Inputs { categorical: vec!["channel".into()], ..Inputs::default() });
        let rows: Vec<u64> =
            (0..300).map(|row| [7, 7, 8, 9, 0][row % 5] + if row == 0 { 90 } else { 0 }).collect();
        let encoder = Encoder::learn(std::slice::from_ref(&rows), 0.01, (2, 9), |_, hash| {
            (hash == 7).then(|| "web".to_owned())
        });
        assert_eq!(encoder.names(&schema).next().unwrap(), "channel=web");
        assert_eq!(encoder.levels().len(), 2);
        assert_eq!(Encoder::learn(std::slice::from_ref(&rows), 0.01, (2, 1), |_, _| None).levels().len(), 1);
        let columns = encoder.columns(&schema, std::slice::from_ref(&rows));
        for (row, &hash) in rows.iter().enumerate() {
            let mut out = Vec::new();
            encoder.extend(&[Some(hash).filter(|&hash| hash != 0)], &mut out);
            let expected: Vec<f32> = columns.iter().map(|(_, column)| column[row]).collect();
            assert_eq!(out, expected);
        }
    }
}

//! Where in the file a problem is.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A path into the document: keys and positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl At {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A place written as `issuers[1].algorithms`.
    pub fn parse(text: &str) -> Self {
        let mut at = Self::root();
        for part in text.split('.') {
            let (key, indexes) = part.split_once('[').unwrap_or((part, ""));
            at = at.key(key);
            for index in indexes.split(['[', ']']).filter_map(|i| i.parse().ok()) {
                at = at.index(index);
            }
        }
        at
    }

    /// A member of this table.
    pub fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// A place below this one.
    pub fn join(&self, below: &Self) -> Self {
        Self([self.0.clone(), below.0.clone()].concat())
    }

    /// An element of this array.
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One thing wrong in a configuration.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(at: At, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, what: what.into(), hint: hint.into() }
    }

    /// A problem with the file as a whole.
    pub fn file(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(At::root(), what, hint)
    }
}

/// Problems of one file, with line and column.
#[derive(Debug)]
pub struct Problems {
    file: PathBuf,
    found: Vec<(usize, usize, String, String)>,
}

impl Problems {
    /// A single problem without a place.
    pub fn one(file: &Path, problem: Problem) -> Self {
        Self { file: file.to_owned(), found: vec![(1, 1, problem.what, problem.hint)] }
    }

    /// Finds each problem's line and column in `text`.
    pub fn locate(file: &Path, text: &str, problems: Vec<Problem>) -> Self {
        let document = DeTable::parse(text).ok();
        let found = problems
            .into_iter()
            .map(|p| {
                let offset = document.as_ref().map_or(0, |d| offset(d.get_ref(), &p.at));
                let (line, column) = line_column(text, offset);
                (line, column, p.what, p.hint)
            })
            .collect();
        Self { file: file.to_owned(), found }
    }

    /// A document that is not TOML, or has unknown or ill-typed fields.
    pub fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let (line, column) = line_column(text, error.span().map_or(0, |s| s.start));
        let hint = near_miss(error.message()).map_or_else(
            || "compare with configs/gatehouse.toml, where every field is explained".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        Self { file: file.to_owned(), found: vec![(line, column, error.message().to_owned(), hint)] }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.found.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (line, column, what, hint)) in self.found.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{line}:{column}: {what}\n    hint: {hint}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name nearest to an unknown one, both taken from serde's words: "unknown field `x`, expected one of `a`, `b`".
fn near_miss(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    policies::compile::nearest(unknown, quoted)
}

/// Byte offset of the deepest part of `at` that exists.
fn offset(document: &DeTable<'_>, at: &At) -> usize {
    let mut here = 0;
    let mut table: Option<&DeTable<'_>> = Some(document);
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    for step in &at.0 {
        let next = match step {
            Step::Key(key) => table.and_then(|t| t.get(key.as_str())),
            Step::Index(index) => {
                value.and_then(|v| v.get_ref().as_array()).and_then(|array| array.get(*index))
            }
        };
        let Some(found) = next else { return here };
        here = found.span().start;
        table = found.get_ref().as_table();
        value = Some(found);
    }
    here
}

/// 1-based line and column of a byte offset.
fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let at = At::root().key("applications").index(1).key("routes").index(0).key("paths");
        assert_eq!(at.to_string(), "applications[1].routes[0].paths");
        assert_eq!(At::parse(&at.to_string()), at);
    }

    #[test]
    fn a_problem_is_found_in_the_text() {
        let text = "a = 1\n[[issuers]]\nissuer = \"x\"\nalgorithms = [\"HS256\"]\n";
        let at = At::parse("issuers[0].algorithms");
        let found = Problems::locate(Path::new("g.toml"), text, vec![Problem::new(at, "bad", "do this")]);
        assert_eq!(found.to_string(), "g.toml:4:14: bad\n    hint: do this");
    }
}

//! Conditions after the check: trees whose types are right by construction, so that evaluation is a walk without look-ups,
//! allocations or type errors.
//!
//! The semantics are CEL's, with two deliberate differences: a computed double that is not finite is a failure (CEL lets
//! it compare as false, which would let a rule pass by), and there are no dynamic types.

use std::cmp::Ordering;
use std::collections::HashSet;

use crate::variables::View;

/// Why an evaluation failed; the rule's `on_error` outcome applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An integer left the range of 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// Division or remainder by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A double became infinite or not a number.
    #[error("the result is not a finite number")]
    NotFinite,
}

type Result<T> = std::result::Result<T, Failure>;

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Tests of one text against another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// A condition.
#[derive(Debug)]
pub(crate) enum Bool {
    Constant(bool),
    Variable(fn(&View<'_>) -> bool),
    Not(Box<Bool>),
    And(Box<(Bool, Bool)>),
    Or(Box<(Bool, Bool)>),
    If(Box<(Bool, Bool, Bool)>),
    /// Equal (`true`) or different (`false`) truth values.
    Same(bool, Box<(Bool, Bool)>),
    Numbers(Comparison, Number, Number),
    Texts(Comparison, Text, Text),
    Test(TextTest, Text, Text),
    InSet(Text, HashSet<Box<str>>),
    InTexts(Text, Texts),
    InInts(Int, Box<[i64]>),
}

/// An integer or a double.
#[derive(Debug)]
pub(crate) enum Number {
    Int(Int),
    Double(Double),
}

/// A 64-bit integer.
#[derive(Debug)]
pub(crate) enum Int {
    Constant(i64),
    Variable(fn(&View<'_>) -> i64),
    Compute(Arithmetic, Box<(Int, Int)>),
    Negate(Box<Int>),
    If(Box<(Bool, Int, Int)>),
    /// `int(double)`: towards zero.
    Truncate(Box<Double>),
    SizeOfTexts(Texts),
    SizeOfText(Text),
}

/// A double.
#[derive(Debug)]
pub(crate) enum Double {
    Constant(f64),
    Variable(fn(&View<'_>) -> f64),
    Compute(Arithmetic, Box<(Double, Double)>),
    Negate(Box<Double>),
    If(Box<(Bool, Double, Double)>),
    FromInt(Box<Int>),
}

/// A text.
#[derive(Debug)]
pub(crate) enum Text {
    Constant(Box<str>),
    Variable(for<'v> fn(&'v View<'_>) -> &'v str),
    If(Box<(Bool, Text, Text)>),
}

/// A list of texts.
#[derive(Debug)]
pub(crate) enum Texts {
    Constant(Box<[String]>),
    Variable(for<'v> fn(&'v View<'_>) -> &'v [String]),
}

impl Bool {
    /// Whether the condition holds.
    ///
    /// As in CEL, `&&` and `||` take a failed side for unimportant when the other side settles the result.
    pub(crate) fn eval(&self, view: &View<'_>) -> Result<bool> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Variable(read) => Ok(read(view)),
            Self::Not(inner) => inner.eval(view).map(|value| !value),
            Self::And(sides) => join(false, &sides.0, &sides.1, view),
            Self::Or(sides) => join(true, &sides.0, &sides.1, view),
            Self::If(parts) => if parts.0.eval(view)? { &parts.1 } else { &parts.2 }.eval(view),
            Self::Same(same, sides) => Ok((sides.0.eval(view)? == sides.1.eval(view)?) == *same),
            Self::Numbers(comparison, a, b) => Ok(comparison.holds(compare(a, b, view)?)),
            Self::Texts(comparison, a, b) => Ok(comparison.holds(a.eval(view)?.cmp(b.eval(view)?))),
            Self::Test(test, text, part) => {
                let (text, part) = (text.eval(view)?, part.eval(view)?);
                Ok(match test {
                    TextTest::StartsWith => text.starts_with(part),
                    TextTest::EndsWith => text.ends_with(part),
                    TextTest::Contains => text.contains(part),
                })
            }
            Self::InSet(text, set) => Ok(set.contains(text.eval(view)?)),
            Self::InTexts(text, texts) => {
                let text = text.eval(view)?;
                Ok(texts.eval(view).iter().any(|t| t == text))
            }
            Self::InInts(int, ints) => Ok(ints.contains(&int.eval(view)?)),
        }
    }
}

/// `&&` (settled by false) and `||` (settled by true).
fn join(settles: bool, a: &Bool, b: &Bool, view: &View<'_>) -> Result<bool> {
    match a.eval(view) {
        Ok(value) if value == settles => Ok(settles),
        Ok(_) => b.eval(view),
        Err(failure) => match b.eval(view) {
            Ok(value) if value == settles => Ok(settles),
            _ => Err(failure),
        },
    }
}

fn compare(a: &Number, b: &Number, view: &View<'_>) -> Result<Ordering> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Ok(a.eval(view)?.cmp(&b.eval(view)?)),
        (Number::Double(a), Number::Double(b)) => order(a.eval(view)?, b.eval(view)?),
        (Number::Int(a), Number::Double(b)) => int_to_double(a.eval(view)?, b.eval(view)?),
        (Number::Double(a), Number::Int(b)) => {
            int_to_double(b.eval(view)?, a.eval(view)?).map(Ordering::reverse)
        }
    }
}

fn order(a: f64, b: f64) -> Result<Ordering> {
    a.partial_cmp(&b).ok_or(Failure::NotFinite)
}

/// Compares without rounding the integer, which above 2^53 has no double of its own.
fn int_to_double(int: i64, double: f64) -> Result<Ordering> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if double >= TWO_63 {
        return Ok(Ordering::Less);
    }
    if double < -TWO_63 {
        return Ok(Ordering::Greater);
    }
    let whole = double.trunc();
    Ok(int.cmp(&(whole as i64)).then(order(whole, double)?))
}

impl Int {
    fn eval(&self, view: &View<'_>) -> Result<i64> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Variable(read) => Ok(read(view)),
            Self::Compute(operator, sides) => {
                let (a, b) = (sides.0.eval(view)?, sides.1.eval(view)?);
                if b == 0 && matches!(operator, Arithmetic::Divide | Arithmetic::Remainder) {
                    return Err(Failure::DivisionByZero);
                }
                match operator {
                    Arithmetic::Add => a.checked_add(b),
                    Arithmetic::Subtract => a.checked_sub(b),
                    Arithmetic::Multiply => a.checked_mul(b),
                    Arithmetic::Divide => a.checked_div(b),
                    Arithmetic::Remainder => a.checked_rem(b),
                }
                .ok_or(Failure::Overflow)
            }
            Self::Negate(inner) => inner.eval(view)?.checked_neg().ok_or(Failure::Overflow),
            Self::If(parts) => if parts.0.eval(view)? { &parts.1 } else { &parts.2 }.eval(view),
            Self::Truncate(inner) => {
                let value = inner.eval(view)?;
                let fits = value.abs() < 9_223_372_036_854_775_807.0;
                if fits { Ok(value.trunc() as i64) } else { Err(Failure::Overflow) }
            }
            Self::SizeOfTexts(texts) => Ok(i64::try_from(texts.eval(view).len()).unwrap_or(i64::MAX)),
            Self::SizeOfText(text) => Ok(i64::try_from(text.eval(view)?.chars().count()).unwrap_or(i64::MAX)),
        }
    }
}

impl Double {
    fn eval(&self, view: &View<'_>) -> Result<f64> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Variable(read) => Ok(read(view)),
            Self::Compute(operator, sides) => {
                let (a, b) = (sides.0.eval(view)?, sides.1.eval(view)?);
                finite(match operator {
                    Arithmetic::Add => a + b,
                    Arithmetic::Subtract => a - b,
                    Arithmetic::Multiply => a * b,
                    Arithmetic::Divide => a / b,
                    Arithmetic::Remainder => a % b,
                })
            }
            Self::Negate(inner) => Ok(-inner.eval(view)?),
            Self::If(parts) => if parts.0.eval(view)? { &parts.1 } else { &parts.2 }.eval(view),
            Self::FromInt(inner) => Ok(inner.eval(view)? as f64),
        }
    }
}

fn finite(value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Failure::NotFinite) }
}

impl Text {
    fn eval<'v>(&'v self, view: &'v View<'_>) -> Result<&'v str> {
        match self {
            Self::Constant(text) => Ok(text),
            Self::Variable(read) => Ok(read(view)),
            Self::If(parts) => if parts.0.eval(view)? { &parts.1 } else { &parts.2 }.eval(view),
        }
    }
}

impl Texts {
    fn eval<'v>(&'v self, view: &'v View<'_>) -> &'v [String] {
        match self {
            Self::Constant(texts) => texts,
            Self::Variable(read) => read(view),
        }
    }
}

//! From CEL source to a checked condition.
//!
//! cel-rust parses; the check and the evaluation are here, because cel-rust has no type checker and its interpreter looks
//! names up while it runs: a misspelt variable would be found by the first request that gets that far. The language is
//! the part of CEL that rules need: literals, the variables of [`crate::variables`], `thresholds.*`, `lists.*`,
//! `! && || ?:`, comparisons, arithmetic, `in`, `startsWith`, `endsWith`, `contains`, `size`, `int`, `double`. Regular
//! expressions and macros are left out on purpose: every condition is evaluated in bounded time.

use std::collections::{BTreeMap, HashSet};

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;

use crate::expression::{Arithmetic, Bool, Comparison, Double, Int, Number, Text, TextTest, Texts};
use crate::pseudonym::Pseudonymizer;
use crate::variables::{Kept, Read, VARIABLES, Variable};

/// Longest condition, bytes.
pub const CONDITION_BYTES_MAX: usize = 2_000;
/// Deepest nesting of a condition. The grammar itself takes some ten levels for each pair of parentheses.
const DEPTH_MAX: u16 = 160;
/// Deepest nesting of parentheses, brackets and braces, checked before the parser sees the text.
const NESTING_MAX: usize = 12;

/// A number of `[thresholds]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// Written without a decimal point.
    Int(i64),
    /// Written with one.
    Double(f64),
}

/// What a condition may refer to beside the request's variables.
pub(crate) struct Names<'a> {
    pub(crate) thresholds: &'a BTreeMap<String, Threshold>,
    pub(crate) lists: &'a BTreeMap<String, Vec<String>>,
    /// When compiling for records: constants compared with hashed variables are hashed too.
    pub(crate) hashed_by: Option<&'a Pseudonymizer>,
}

/// A checked condition.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) expression: Bool,
    /// Variables that stand in it.
    pub(crate) variables: Vec<&'static Variable>,
    /// Whether a record has everything it takes.
    pub(crate) recomputable: bool,
}

/// What is wrong with a condition, and where in its text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Byte offset in the condition.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Parses and checks one condition.
pub(crate) fn compile(source: &str, names: &Names<'_>) -> Result<Condition, Complaint> {
    check_bounds(source)?;
    let parser = Parser::new().max_recursion_depth(DEPTH_MAX).error_recovery_limit(1);
    let (tree, positions) =
        parser.parse_with_source_info(source).map_err(|errors| unreadable(source, &errors))?;
    let mut checker = Checker { names, positions, variables: Vec::new(), lost: false };
    match checker.lower(&tree)? {
        Typed::Bool(expression) => {
            Ok(Condition { expression, variables: checker.variables, recomputable: !checker.lost })
        }
        other => Err(Complaint {
            offset: 0,
            message: format!("the condition is of type {}, not bool", other.type_name()),
            hint: Some("compare it with something".into()),
        }),
    }
}

fn check_bounds(source: &str) -> Result<(), Complaint> {
    let complaint = |offset, message: String| Err(Complaint { offset, message, hint: None });
    if source.len() > CONDITION_BYTES_MAX {
        return complaint(0, format!("the condition is longer than {CONDITION_BYTES_MAX} bytes"));
    }
    let mut depth = 0_usize;
    for (offset, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return complaint(offset, format!("nested deeper than {NESTING_MAX}"));
        }
    }
    Ok(())
}

fn unreadable(source: &str, errors: &cel::ParseErrors) -> Complaint {
    let Some(first) = errors.errors.first() else {
        return Complaint { offset: 0, message: "the condition cannot be read".into(), hint: None };
    };
    let (line, column) = first.pos;
    let before: usize = usize::try_from(line - 1)
        .map_or(0, |lines| source.split_inclusive('\n').take(lines).map(str::len).sum());
    let offset = before.saturating_add(usize::try_from(column - 1).unwrap_or(0)).min(source.len());
    let what = first.msg.lines().next().unwrap_or_default();
    Complaint { offset, message: format!("the condition cannot be read: {what}"), hint: None }
}

/// A checked part of a condition.
enum Typed {
    Bool(Bool),
    Int(Int),
    Double(Double),
    Text(Text, Kept),
    Texts(Texts),
    Ints(Box<[i64]>),
}

impl Typed {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Text(..) => "string",
            Self::Texts(_) => "list of strings",
            Self::Ints(_) => "list of ints",
        }
    }
}

type Checked<T> = Result<T, Complaint>;

struct Checker<'a> {
    names: &'a Names<'a>,
    positions: SourceInfo,
    variables: Vec<&'static Variable>,
    lost: bool,
}

impl Checker<'_> {
    fn lower(&mut self, node: &IdedExpr) -> Checked<Typed> {
        match &node.expr {
            Expr::Literal(literal) => self.literal(node, literal),
            Expr::Ident(_) | Expr::Select(_) => self.name(node),
            Expr::List(list) => self.list(node, &list.elements),
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(_) => {
                self.refuse(node, "macros are not part of the rule language", "use `in`")
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.refuse(node, "maps and messages are not part of the rule language", "use a list")
            }
        }
    }

    fn literal(&self, node: &IdedExpr, literal: &LiteralValue) -> Checked<Typed> {
        match literal {
            LiteralValue::Boolean(value) => Ok(Typed::Bool(Bool::Constant(*value.inner()))),
            LiteralValue::Int(value) => Ok(Typed::Int(Int::Constant(*value.inner()))),
            LiteralValue::Double(value) => Ok(Typed::Double(Double::Constant(*value.inner()))),
            LiteralValue::String(value) => Ok(Typed::Text(Text::Constant(value.inner().into()), Kept::Value)),
            LiteralValue::UInt(_) => self.refuse(node, "unsigned integers are not used here", "drop the `u`"),
            LiteralValue::Null | LiteralValue::Bytes(_) => self.refuse(
                node,
                "null and bytes are not part of the rule language",
                "a missing value has a flag such as `transfer.present`",
            ),
        }
    }

    fn name(&mut self, node: &IdedExpr) -> Checked<Typed> {
        let Some(name) = dotted(node) else {
            return self.refuse(node, "this is not a variable", "a variable is written like `transfer.to`");
        };
        if let Some(key) = name.strip_prefix("thresholds.") {
            return match self.names.thresholds.get(key) {
                Some(Threshold::Int(value)) => Ok(Typed::Int(Int::Constant(*value))),
                Some(Threshold::Double(value)) => Ok(Typed::Double(Double::Constant(*value))),
                None => {
                    self.unknown(node, "threshold", key, self.names.thresholds.keys().map(String::as_str))
                }
            };
        }
        if let Some(key) = name.strip_prefix("lists.") {
            return match self.names.lists.get(key) {
                Some(texts) => Ok(Typed::Texts(Texts::Constant(texts.as_slice().into()))),
                None => self.unknown(node, "list", key, self.names.lists.keys().map(String::as_str)),
            };
        }
        let Some(variable) = Variable::named(&name) else {
            return self.unknown(node, "variable", &name, VARIABLES.iter().map(|v| v.name));
        };
        if !self.variables.iter().any(|known| std::ptr::eq(*known, variable)) {
            self.variables.push(variable);
        }
        self.lost |= variable.kept == Kept::Nothing;
        Ok(match variable.read {
            Read::Bool(read) => Typed::Bool(Bool::Variable(read)),
            Read::Int(read) => Typed::Int(Int::Variable(read)),
            Read::Double(read) => Typed::Double(Double::Variable(read)),
            Read::Text(read) => Typed::Text(Text::Variable(read), variable.kept),
            Read::Texts(read) => Typed::Texts(Texts::Variable(read)),
        })
    }

    fn list(&mut self, node: &IdedExpr, elements: &[IdedExpr]) -> Checked<Typed> {
        let mut texts = Vec::new();
        let mut ints = Vec::new();
        for element in elements {
            match self.lower(element)? {
                Typed::Text(Text::Constant(text), _) => texts.push(String::from(text)),
                Typed::Int(Int::Constant(int)) => ints.push(int),
                _ => {
                    return self.refuse(
                        element,
                        "a list holds texts or whole numbers only",
                        "write them out",
                    );
                }
            }
        }
        match (texts.is_empty(), ints.is_empty()) {
            (_, true) => Ok(Typed::Texts(Texts::Constant(texts.into()))),
            (true, false) => Ok(Typed::Ints(ints.into())),
            (false, false) => self.refuse(node, "a list holds texts or whole numbers, not both", "split it"),
        }
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Checked<Typed> {
        let mut parts = Vec::with_capacity(3);
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            parts.push(self.lower(part)?);
        }
        let name = call.func_name.as_str();
        let mut parts = parts.into_iter();
        match (name, parts.next(), parts.next(), parts.next()) {
            (operators::LOGICAL_NOT, Some(Typed::Bool(inner)), None, None) => {
                Ok(Typed::Bool(Bool::Not(Box::new(inner))))
            }
            (operators::NEGATE, Some(inner), None, None) => match inner {
                Typed::Int(inner) => Ok(Typed::Int(Int::Negate(Box::new(inner)))),
                Typed::Double(inner) => Ok(Typed::Double(Double::Negate(Box::new(inner)))),
                other => self.no_overload(node, name, &[&other]),
            },
            ("int" | "double" | "size", Some(inner), None, None) => self.conversion(node, name, inner),
            (operators::LOGICAL_AND, Some(Typed::Bool(a)), Some(Typed::Bool(b)), None) => {
                Ok(Typed::Bool(Bool::And(Box::new((a, b)))))
            }
            (operators::LOGICAL_OR, Some(Typed::Bool(a)), Some(Typed::Bool(b)), None) => {
                Ok(Typed::Bool(Bool::Or(Box::new((a, b)))))
            }
            (operators::IN, Some(item), Some(list), None) => self.membership(node, item, list),
            ("startsWith" | "endsWith" | "contains", Some(a), Some(b), None) if call.target.is_some() => {
                self.text_test(node, name, a, b)
            }
            (_, Some(a), Some(b), None) => self.binary(node, name, a, b),
            (operators::CONDITIONAL, Some(Typed::Bool(condition)), Some(a), Some(b)) => {
                self.conditional(node, condition, a, b)
            }
            (_, a, b, c) => {
                let parts: Vec<&Typed> = [&a, &b, &c].into_iter().flatten().collect();
                self.no_overload(node, name, &parts)
            }
        }
    }

    fn conversion(&mut self, node: &IdedExpr, name: &str, inner: Typed) -> Checked<Typed> {
        match (name, inner) {
            ("int", Typed::Double(inner)) => Ok(Typed::Int(Int::Truncate(Box::new(inner)))),
            ("double", Typed::Int(inner)) => Ok(Typed::Double(Double::FromInt(Box::new(inner)))),
            ("int", inner @ Typed::Int(_)) | ("double", inner @ Typed::Double(_)) => Ok(inner),
            ("size", Typed::Texts(inner)) => Ok(Typed::Int(Int::SizeOfTexts(inner))),
            ("size", Typed::Text(inner, kept)) => {
                self.lost |= kept != Kept::Value;
                Ok(Typed::Int(Int::SizeOfText(inner)))
            }
            (_, other) => self.no_overload(node, name, &[&other]),
        }
    }

    fn text_test(&mut self, node: &IdedExpr, name: &str, a: Typed, b: Typed) -> Checked<Typed> {
        let test = match name {
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            _ => TextTest::Contains,
        };
        match (a, b) {
            (Typed::Text(a, kept_a), Typed::Text(b, kept_b)) => {
                self.lost |= kept_a != Kept::Value || kept_b != Kept::Value;
                Ok(Typed::Bool(Bool::Test(test, a, b)))
            }
            (a, b) => self.no_overload(node, name, &[&a, &b]),
        }
    }

    fn membership(&mut self, node: &IdedExpr, item: Typed, list: Typed) -> Checked<Typed> {
        Ok(Typed::Bool(match (item, list) {
            (Typed::Text(item, kept), Typed::Texts(Texts::Constant(texts))) => {
                let set: HashSet<Box<str>> =
                    texts.iter().map(|text| self.as_kept(kept, text).into_boxed_str()).collect();
                Bool::InSet(item, set)
            }
            (Typed::Text(item, kept), Typed::Texts(texts)) => {
                self.lost |= kept != Kept::Value;
                Bool::InTexts(item, texts)
            }
            (Typed::Int(item), Typed::Ints(ints)) => Bool::InInts(item, ints),
            (item, list) => return self.no_overload(node, operators::IN, &[&item, &list]),
        }))
    }

    fn binary(&mut self, node: &IdedExpr, name: &str, a: Typed, b: Typed) -> Checked<Typed> {
        if let Some(comparison) = comparison(name) {
            return self.comparison(node, name, comparison, a, b);
        }
        let Some(operator) = arithmetic(name) else {
            return self.no_overload(node, name, &[&a, &b]);
        };
        match (a, b) {
            (Typed::Int(a), Typed::Int(b)) => Ok(Typed::Int(Int::Compute(operator, Box::new((a, b))))),
            (Typed::Double(a), Typed::Double(b)) if operator != Arithmetic::Remainder => {
                Ok(Typed::Double(Double::Compute(operator, Box::new((a, b)))))
            }
            (a, b) => self.no_overload(node, name, &[&a, &b]),
        }
    }

    fn comparison(
        &mut self,
        node: &IdedExpr,
        name: &str,
        comparison: Comparison,
        a: Typed,
        b: Typed,
    ) -> Checked<Typed> {
        let (a, b) = match (a, b) {
            (Typed::Text(a, kept_a), Typed::Text(b, kept_b)) => {
                return Ok(Typed::Bool(self.texts(comparison, (a, kept_a), (b, kept_b))));
            }
            (Typed::Bool(a), Typed::Bool(b))
                if matches!(comparison, Comparison::Equal | Comparison::NotEqual) =>
            {
                return Ok(Typed::Bool(Bool::Same(comparison == Comparison::Equal, Box::new((a, b)))));
            }
            (Typed::Int(a), Typed::Int(b)) => (Number::Int(a), Number::Int(b)),
            (Typed::Int(a), Typed::Double(b)) => (Number::Int(a), Number::Double(b)),
            (Typed::Double(a), Typed::Int(b)) => (Number::Double(a), Number::Int(b)),
            (Typed::Double(a), Typed::Double(b)) => (Number::Double(a), Number::Double(b)),
            (a, b) => return self.no_overload(node, name, &[&a, &b]),
        };
        Ok(Typed::Bool(Bool::Numbers(comparison, a, b)))
    }

    /// Only equality with a constant, or of two values hashed alike, survives hashing.
    fn texts(&mut self, comparison: Comparison, a: (Text, Kept), b: (Text, Kept)) -> Bool {
        let ((a, kept_a), (b, kept_b)) = (a, b);
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let (a, b) = match (a, b) {
            (a, Text::Constant(b)) if equality => (a, Text::Constant(self.as_kept(kept_a, &b).into())),
            (Text::Constant(a), b) if equality => (Text::Constant(self.as_kept(kept_b, &a).into()), b),
            (a, b) => {
                let alike = equality && kept_a == kept_b;
                self.lost |= !alike && (kept_a != Kept::Value || kept_b != Kept::Value);
                (a, b)
            }
        };
        Bool::Texts(comparison, a, b)
    }

    /// A constant the way the variable it is compared with is kept. The neutral value is kept as it is.
    fn as_kept(&self, kept: Kept, text: &str) -> String {
        match (self.names.hashed_by, kept) {
            (Some(hashes), Kept::Account) if !text.is_empty() => hashes.account(text).0,
            (Some(hashes), Kept::Address) => {
                text.parse().map_or_else(|_| text.to_owned(), |address| hashes.address(address).0)
            }
            _ => text.to_owned(),
        }
    }

    fn conditional(&mut self, node: &IdedExpr, condition: Bool, a: Typed, b: Typed) -> Checked<Typed> {
        Ok(match (a, b) {
            (Typed::Bool(a), Typed::Bool(b)) => Typed::Bool(Bool::If(Box::new((condition, a, b)))),
            (Typed::Int(a), Typed::Int(b)) => Typed::Int(Int::If(Box::new((condition, a, b)))),
            (Typed::Double(a), Typed::Double(b)) => Typed::Double(Double::If(Box::new((condition, a, b)))),
            (Typed::Text(a, kept_a), Typed::Text(b, kept_b)) => {
                self.lost |= kept_a != Kept::Value || kept_b != Kept::Value;
                Typed::Text(Text::If(Box::new((condition, a, b))), Kept::Value)
            }
            (a, b) => return self.no_overload(node, operators::CONDITIONAL, &[&a, &b]),
        })
    }

    fn offset(&self, node: &IdedExpr) -> usize {
        self.positions.offset_for(node.id).map_or(0, |(start, _)| start as usize)
    }

    fn refuse<T>(&self, node: &IdedExpr, message: &str, hint: &str) -> Checked<T> {
        Err(Complaint { offset: self.offset(node), message: message.into(), hint: Some(hint.into()) })
    }

    fn unknown<'n>(
        &self,
        node: &IdedExpr,
        kind: &str,
        name: &str,
        candidates: impl Iterator<Item = &'n str>,
    ) -> Checked<Typed> {
        let hint = nearest(name, candidates).map(|near| format!("did you mean `{near}`?"));
        Err(Complaint {
            offset: first_offset(node, &self.positions),
            message: format!("there is no {kind} `{name}`"),
            hint,
        })
    }

    fn no_overload<T>(&self, node: &IdedExpr, name: &str, parts: &[&Typed]) -> Checked<T> {
        let types: Vec<&str> = parts.iter().map(|part| part.type_name()).collect();
        let mixed = types.contains(&"int") && types.contains(&"double") && arithmetic(name).is_some();
        Err(Complaint {
            offset: self.offset(node),
            message: format!("`{}` does not apply to {}", spelt(name), types.join(" and ")),
            hint: mixed.then(|| "convert one side with int(…) or double(…)".into()),
        })
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

/// An operator as its author wrote it: cel calls `a && b` `_&&_`.
fn spelt(name: &str) -> &str {
    name.trim_matches(|c| c == '_' || c == '@')
}

fn dotted(node: &IdedExpr) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            dotted(&select.operand).map(|operand| format!("{operand}.{}", select.field))
        }
        _ => None,
    }
}

/// Where a dotted name begins: the position of a selection is its dot.
fn first_offset(node: &IdedExpr, positions: &SourceInfo) -> usize {
    match &node.expr {
        Expr::Select(select) => first_offset(&select.operand, positions),
        _ => positions.offset_for(node.id).map_or(0, |(start, _)| start as usize),
    }
}

/// The candidate that `name` was most likely meant to be: at most a third of its letters differ.
pub fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let above = *cell;
            let value = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            diagonal = above;
            left = value;
            *cell = value;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

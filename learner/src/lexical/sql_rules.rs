//! What makes a row of SQL tokens an injection rather than a sentence with quotes and dashes in it.

use super::sql::{Class, Context, Token};
use super::text::{Hit, strongest};

/// Judges tokens in their context; one look at a few neighbours per token.
pub(super) fn judge(tokens: &[Token<'_>], context: Context) -> Option<Hit> {
    let mut best = None;
    if let Context::Quoted(_) = context {
        leaving_a_string(View(tokens), &mut best);
    }
    let sign = usize::from(tokens.first().is_some_and(|token| token.class == Class::Arithmetic));
    for at in 0..tokens.len() {
        let view = View(tokens.get(at..).unwrap_or(&[]));
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map(|token| token.class);
        match view.class(0) {
            Some(Class::Logic) => {
                condition(view, Before { class: before, early: at == sign + 1 }, context, &mut best)
            }
            Some(Class::Where | Class::Clause) => clause(view, before, context, &mut best),
            Some(Class::Union) => union(view, &mut best),
            Some(Class::Select) => select(view, before, &mut best),
            Some(Class::Statement) => statement(view, before, context, &mut best),
            Some(Class::Wait) if view.is(1, Class::Object) && view.is(2, Class::Text) => {
                strongest(&mut best, 0.97, "SQL delay");
            }
            Some(Class::Danger | Class::Function) => function(view, before, &mut best),
            Some(Class::Catalogue) => catalogue(view, before, &mut best),
            Some(Class::Object) if view.is_word(0, b"procedure") && view.is_word(1, b"analyse") => {
                strongest(&mut best, 0.9, "SQL procedure call");
            }
            Some(Class::Case) if view.is(0, Class::Case) && before_expression(before) => {
                case(view, &mut best);
            }
            _ => {}
        }
    }
    best
}

/// Tokens from some place on.
#[derive(Clone, Copy)]
struct View<'a>(&'a [Token<'a>]);

impl View<'_> {
    fn class(&self, at: usize) -> Option<Class> {
        self.0.get(at).map(|token| token.class)
    }
    fn is(&self, at: usize, class: Class) -> bool {
        self.class(at) == Some(class)
    }
    fn is_word(&self, at: usize, word: &[u8]) -> bool {
        self.0.get(at).is_some_and(|token| token.text == word)
    }
    /// The end of the text, or what makes the rest of it not count.
    fn ends(&self, at: usize) -> bool {
        matches!(self.class(at), None | Some(Class::Comment | Class::Semicolon))
    }
    /// First place from `at` on that is no opening parenthesis, `not` or sign.
    fn skip_prefix(&self, mut at: usize) -> usize {
        while matches!(self.class(at), Some(Class::Open | Class::Not | Class::Arithmetic)) {
            at += 1;
        }
        at
    }
    fn skip_closes(&self, mut at: usize) -> usize {
        while self.is(at, Class::Close) {
            at += 1;
        }
        at
    }
}

/// What stands before a condition.
#[derive(Clone, Copy)]
struct Before {
    class: Option<Class>,
    /// Whether the text begins with it: `1 and 2=3`, not `rooms 1 and 2 = 300`.
    early: bool,
}

fn is_value(class: Option<Class>) -> bool {
    matches!(class, Some(Class::Number | Class::Text | Class::Variable | Class::Null))
}

fn is_operand(class: Option<Class>) -> bool {
    is_value(class) || matches!(class, Some(Class::Name | Class::Object))
}

fn before_expression(before: Option<Class>) -> bool {
    matches!(
        before,
        Some(
            Class::Open
                | Class::Comma
                | Class::Logic
                | Class::Compare
                | Class::Arithmetic
                | Class::Select
                | Class::Not
        )
    )
}

/// The text closes a string it was put into: what comes then must be SQL to mean anything. `O'Brien` is a string
/// followed by a name, which no statement has.
fn leaving_a_string(view: View<'_>, best: &mut Option<Hit>) {
    let closed = view.0.first().is_some_and(|token| matches!(token.text.last(), Some(b'\'' | b'"' | b'`')));
    if !closed {
        return;
    }
    let after = view.skip_closes(1);
    match view.class(after) {
        Some(Class::Comment) => {
            // A comment mark at the very end cuts the statement off; with words behind it, it may be a dash.
            let tail = view.0.get(after).map_or(0, |token| token.text.len());
            let score = if tail <= 6 { 0.85 } else { 0.45 };
            strongest(best, score, "quote closed and the rest commented out");
        }
        Some(Class::Semicolon) if view.is(after + 1, Class::Comment) => {
            strongest(best, 0.9, "quote closed, statement ended and the rest commented out");
        }
        Some(Class::Compare)
            if is_value(view.class(after + 1))
                && (view.ends(after + 2) || view.is(after + 2, Class::Logic)) =>
        {
            strongest(best, 0.75, "quote closed and a comparison added");
        }
        Some(Class::Arithmetic)
            if matches!(view.class(view.skip_prefix(after + 1)), Some(Class::Select | Class::Danger)) =>
        {
            strongest(best, 0.95, "quote closed and a function or query added");
        }
        _ => {}
    }
}

/// `and`/`or` with something that is always true, or is computed by the database.
fn condition(view: View<'_>, before: Before, context: Context, best: &mut Option<Hit>) {
    let Before { class: before, early } = before;
    // Only behind a value, a closed string or parenthesis does it continue a statement.
    let continues = matches!(
        before,
        None | Some(
            Class::Text
                | Class::Number
                | Class::Close
                | Class::Name
                | Class::Null
                | Class::Variable
                | Class::Comment
        )
    );
    if !continues {
        return;
    }
    let after_string = matches!(context, Context::Quoted(_)) && before == Some(Class::Text);
    let strong = after_string
        || matches!(before, Some(Class::Close | Class::Text))
        || (early && before == Some(Class::Number));
    let left = view.skip_prefix(1);
    let opened = left > 1;
    match view.class(left) {
        Some(Class::Select) => strongest(best, 0.95, "condition with a query"),
        Some(Class::Function | Class::Danger) if view.is(left + 1, Class::Open) => {
            strongest(best, if strong { 0.92 } else { 0.7 }, "condition with an SQL function");
        }
        Some(Class::Case) if strong && view.is_word(left, b"case") => {
            strongest(best, 0.85, "condition with an SQL case")
        }
        class if is_operand(class) => comparison(view, left, strong, after_string, opened, best),
        _ => {}
    }
}

fn comparison(
    view: View<'_>,
    left: usize,
    strong: bool,
    after_string: bool,
    opened: bool,
    best: &mut Option<Hit>,
) {
    let mut sign = view.skip_closes(left + 1);
    if view.is(sign, Class::Dot) && view.is(sign + 1, Class::Name) {
        sign += 2;
    }
    if view.is(sign, Class::Not) {
        sign += 1;
    }
    let value_left = is_value(view.class(left));
    if view.is(sign, Class::Compare) {
        let right = view.skip_prefix(sign + 1);
        let both_values = value_left && is_value(view.class(right));
        let same = both_values && bare(view, left) == bare(view, right);
        let words = view.class(sign) == Some(Class::Compare)
            && view.0.get(sign).is_some_and(|token| token.text.len() > 3);
        let score = match view.class(right) {
            Some(Class::Select | Class::Function | Class::Danger) => 0.9,
            _ if same => 0.93,
            _ if both_values && strong => 0.9,
            _ if both_values => 0.6,
            _ if after_string && is_operand(view.class(right)) && !words => 0.88,
            _ if strong && is_value(view.class(right)) => 0.82,
            _ if after_string && is_value(view.class(right)) => 0.85,
            _ => return,
        };
        strongest(best, score, "condition that is always decided");
    } else if value_left && after_string && (view.ends(sign) || view.is(sign, Class::Logic)) {
        strongest(best, 0.9, "quote closed and a constant condition added");
    } else if value_left && strong && matches!(view.class(sign), Some(Class::Comment)) {
        strongest(best, 0.85, "constant condition with the rest commented out");
    } else if value_left && opened && strong && view.ends(sign) {
        strongest(best, 0.6, "constant condition");
    }
}

/// A value without its quotes, for `'a'='a` and `1=1`.
fn bare<'a>(view: View<'a>, at: usize) -> &'a [u8] {
    let text = view.0.get(at).map_or(&[][..], |token| token.text);
    let text = text.strip_prefix(b"'").or_else(|| text.strip_prefix(b"\"")).unwrap_or(text);
    text.strip_suffix(b"'").or_else(|| text.strip_suffix(b"\"")).unwrap_or(text)
}

/// `where 1=1`, `having 1=1`, `order by 7--`, `group by x having`.
fn clause(view: View<'_>, before: Option<Class>, context: Context, best: &mut Option<Hit>) {
    let after_value = matches!(before, Some(Class::Number | Class::Close))
        || (matches!(context, Context::Quoted(_)) && before == Some(Class::Text));
    if view.is(1, Class::By) {
        let counted = view.is(2, Class::Number) && (view.ends(3) || view.is(3, Class::Comma));
        if after_value && counted {
            strongest(best, 0.88, "columns counted by ordering");
        } else if after_value && view.is(3, Class::Clause) {
            strongest(best, 0.85, "grouping clause added");
        }
        return;
    }
    let left = view.skip_prefix(1);
    if is_value(view.class(left)) && view.is(left + 1, Class::Compare) && is_value(view.class(left + 2)) {
        strongest(best, if after_value { 0.92 } else { 0.7 }, "clause that is always true");
    } else if after_value
        && view.is_word(0, b"limit")
        && view.is(1, Class::Number)
        && view.is(2, Class::Comment)
    {
        strongest(best, 0.8, "limit added and the rest commented out");
    }
}

fn union(view: View<'_>, best: &mut Option<Hit>) {
    let mut at = 1;
    while matches!(view.class(at), Some(Class::Quantifier | Class::Open)) {
        at += 1;
    }
    if !view.is(at, Class::Select) {
        return;
    }
    let listed = view.skip_prefix(at + 1);
    match view.class(listed) {
        class if is_value(class) => strongest(best, 0.97, "union with another query"),
        Some(Class::Function | Class::Danger | Class::Quantifier | Class::Case | Class::Select) => {
            strongest(best, 0.97, "union with another query");
        }
        Some(Class::From) => strongest(best, 0.97, "union with another query"),
        Some(Class::Name | Class::Object)
            if matches!(
                view.class(listed + 1),
                Some(Class::Comma | Class::From | Class::Dot | Class::Comment | Class::Open)
            ) =>
        {
            strongest(best, 0.95, "union with another query");
        }
        // `union select` at the very end, or before more than a plain word.
        None => strongest(best, 0.7, "union with another query"),
        Some(Class::Name) if view.ends(listed + 1) => strongest(best, 0.65, "union with another query"),
        _ => {}
    }
}

/// A query that reads data: it has a list, a source, and a place where queries stand.
fn select(view: View<'_>, before: Option<Class>, best: &mut Option<Hit>) {
    let star = view.is_word(1, b"*");
    let mut first = view.skip_prefix(1);
    while view.is(first, Class::Quantifier) {
        first = view.skip_prefix(first + 1);
    }
    let source = (first..first + 24).find(|&at| view.is(at, Class::From));
    let computed =
        matches!(view.class(first), Some(Class::Function | Class::Danger)) && view.is(first + 1, Class::Open);
    let variable = view.is(first, Class::Variable);
    let placed = matches!(
        before,
        Some(
            Class::Open | Class::Semicolon | Class::Logic | Class::Arithmetic | Class::Compare | Class::Text
        )
    );
    let many = view.is(first + 1, Class::Comma) || view.is(first + 1, Class::Dot);
    let score = match source {
        Some(from) if view.is(from + 1, Class::Catalogue) => 0.97,
        Some(_) if computed || variable => 0.92,
        Some(from) if star && is_operand(view.class(from + 1)) => 0.85,
        Some(from) if many && placed && is_operand(view.class(from + 1)) => 0.9,
        Some(from) if many && clause_follows(view, from) => 0.85,
        Some(from)
            if placed
                && from == first + 1
                && (clause_follows(view, from) || view.is(from + 2, Class::Close)) =>
        {
            0.85
        }
        Some(from)
            if from == first + 1 && view.is(from + 2, Class::Where) && view.is(from + 4, Class::Compare) =>
        {
            0.85
        }
        Some(_) => return,
        None if computed && placed => 0.92,
        None if computed && view.is(first, Class::Danger) => 0.9,
        None if variable && placed => 0.85,
        None if placed
            && before != Some(Class::Text)
            && is_value(view.class(first))
            && view.is(first + 1, Class::Close) =>
        {
            0.7
        }
        None => return,
    };
    strongest(best, score, "query inside a value");
}

fn clause_follows(view: View<'_>, from: usize) -> bool {
    (from + 2..from + 5).any(|at| match view.class(at) {
        Some(Class::Where) => view.is(at + 2, Class::Compare) || view.is(at + 1, Class::Number),
        Some(Class::Clause) => view.is(at + 1, Class::Number) || view.is(at + 1, Class::By),
        Some(Class::Comment) => at == from + 2,
        _ => false,
    })
}

/// Statements other than queries, in the shape that makes them statements.
fn statement(view: View<'_>, before: Option<Class>, context: Context, best: &mut Option<Hit>) {
    let word = view.0.first().map_or(&[][..], |token| token.text);
    let object = view.is(1, Class::Object);
    let placed = before == Some(Class::Semicolon)
        || (matches!(context, Context::Quoted(_)) && before == Some(Class::Text));
    let shaped = match word {
        b"insert" => {
            view.is_word(1, b"into")
                && (3..7)
                    .any(|at| matches!(view.class(at), Some(Class::Values | Class::Open | Class::Select)))
        }
        b"update" => {
            is_operand(view.class(1))
                && (2..5).any(|at| view.is(at, Class::Set) && view.is(at + 2, Class::Compare))
        }
        b"delete" => {
            view.is(1, Class::From)
                && is_operand(view.class(2))
                && (view.is(3, Class::Where) || (view.ends(3) && placed))
        }
        b"drop" | b"alter" | b"create" | b"truncate" => {
            object
                && is_operand(view.class(2))
                && !view.is_word(1, b"into")
                && (view.ends(3)
                    || view.is(3, Class::Open)
                    || before == Some(Class::Semicolon)
                    || view.is(3, Class::Statement))
        }
        b"exec" | b"execute" => {
            view.is(1, Class::Danger)
                || view.is_word(1, b"master")
                || view.is_word(1, b"immediate")
                || (view.is(1, Class::Open) && before == Some(Class::Semicolon))
                || (view.is(1, Class::Name)
                    && view.0.get(1).is_some_and(|token| {
                        token.text.starts_with(b"xp_") || token.text.starts_with(b"sp_")
                    }))
        }
        b"declare" => view.is(1, Class::Variable),
        b"shutdown" => before == Some(Class::Semicolon) && view.ends(1),
        _ => false,
    };
    if shaped {
        strongest(best, if placed { 0.96 } else { 0.82 }, "statement that changes the database");
    }
}

/// Calls of functions that attackers use to wait, to read files or to leak through errors.
fn function(view: View<'_>, before: Option<Class>, best: &mut Option<Hit>) {
    if !view.is(1, Class::Open) {
        let procedure = view.0.first().is_some_and(|token| token.text.starts_with(b"xp_"));
        if procedure {
            strongest(best, 0.85, "system procedure of a database");
        }
        return;
    }
    let danger = view.is(0, Class::Danger);
    let nested = matches!(view.class(2), Some(Class::Function | Class::Danger | Class::Select))
        && !view.is(3, Class::Close);
    let placed = matches!(
        before,
        Some(
            Class::Semicolon
                | Class::Logic
                | Class::Arithmetic
                | Class::Compare
                | Class::Text
                | Class::Select
                | Class::Comma
                | Class::Open
        )
    );
    match (danger, placed) {
        (true, true) => strongest(best, 0.93, "database function that waits, reads or leaks"),
        (true, false) => strongest(best, 0.65, "database function that waits, reads or leaks"),
        (false, _) if nested && (view.is(2, Class::Select) || view.is(3, Class::Open)) => {
            strongest(best, 0.8, "nested SQL functions");
        }
        _ => {}
    }
}

fn catalogue(view: View<'_>, before: Option<Class>, best: &mut Option<Hit>) {
    let named = matches!(before, Some(Class::From | Class::Object | Class::Comma));
    if named || view.is(1, Class::Dot) {
        strongest(best, 0.85, "system catalogue or file output of a database");
    }
}

fn case(view: View<'_>, best: &mut Option<Hit>) {
    let condition = view.skip_prefix(2);
    if view.is_word(0, b"case") && view.is_word(1, b"when") && view.is(condition + 1, Class::Compare) {
        strongest(best, 0.88, "SQL case inside a value");
    }
}

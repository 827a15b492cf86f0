//! SQL injection: the text is read as SQL in the places where an application might have put it (bare, or inside a
//! quoted string), and the classes of its tokens are judged, not its words.

use super::sql_rules;
use super::text::{Hit, from, is_word};

/// Class of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A bare word that is no keyword.
    Name,
    Number,
    /// A quoted string, closed or not.
    Text,
    /// `@x`, `@@version`.
    Variable,
    /// `=`, `<`, `like`, `in`, `between`, `is`, …
    Compare,
    /// `+`, `-`, `||` and other arithmetic.
    Arithmetic,
    /// `and`, `or`, `xor`, `&&`.
    Logic,
    Not,
    /// `union`, `intersect`, `except`, `minus`.
    Union,
    /// `all`, `distinct`.
    Quantifier,
    Select,
    From,
    Where,
    /// `having`, `group`, `order`, `limit`.
    Clause,
    By,
    /// Verbs of other statements: `insert`, `drop`, `exec`, …
    Statement,
    /// Objects of statements: `table`, `into`, `database`, …
    Object,
    Set,
    Values,
    Null,
    /// `waitfor`.
    Wait,
    /// `case`, `when`, `then`.
    Case,
    /// Functions that only attackers call through a parameter.
    Danger,
    /// Functions of everyday SQL.
    Function,
    /// System catalogues.
    Catalogue,
    Open,
    Close,
    Comma,
    Semicolon,
    Dot,
    /// A comment that hides the rest of the line or of the text.
    Comment,
}

/// A token: its class and the bytes it covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) class: Class,
    pub(super) text: &'a [u8],
}

/// Where the text stands in the statement it is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Bare,
    Quoted(u8),
}

/// Tokens judged of one text; the body limit makes longer ones rare, and every token costs time.
const TOKENS_MAX: usize = 8_192;

/// Reads lower-case text as SQL in every context it can be in.
pub(super) fn detect(text: &[u8]) -> Option<Hit> {
    if text.len() < 3 {
        return None;
    }
    let mut tokens = Vec::new();
    tokenize(text, Context::Bare, &mut tokens);
    let mut best = sql_rules::judge(&tokens, Context::Bare);
    for quote in [b'\'', b'"', b'`'] {
        if text.contains(&quote) {
            tokenize(text, Context::Quoted(quote), &mut tokens);
            let hit = sql_rules::judge(&tokens, Context::Quoted(quote));
            best = match (best, hit) {
                (Some(a), Some(b)) => Some(if b.score > a.score { b } else { a }),
                (a, b) => a.or(b),
            };
        }
    }
    best
}

fn tokenize<'a>(text: &'a [u8], context: Context, tokens: &mut Vec<Token<'a>>) {
    tokens.clear();
    let mut rest = text;
    if let Context::Quoted(quote) = context {
        let length = string_length(rest, quote);
        tokens.push(Token { class: Class::Text, text: rest.get(..length).unwrap_or(rest) });
        rest = from(rest, length);
    }
    while tokens.len() < TOKENS_MAX {
        rest = skip_blank(rest);
        let Some((class, length)) = next(rest) else { break };
        tokens.push(Token { class, text: rest.get(..length).unwrap_or(rest) });
        rest = from(rest, length);
    }
}

/// Skips space and comments that only separate (`/**/`); the inside of MySQL's `/*!50000 … */` is code.
fn skip_blank(mut rest: &[u8]) -> &[u8] {
    loop {
        let before = rest.len();
        while let Some((byte, after)) = rest.split_first() {
            // 0xa0 is a space for MySQL; control bytes separate as well.
            if !(byte.is_ascii_whitespace() || *byte <= 0x1f || *byte == 0xa0) {
                break;
            }
            rest = after;
        }
        if let Some(code) = rest.strip_prefix(b"/*!") {
            let digits = code.iter().take_while(|byte| byte.is_ascii_digit()).count();
            rest = from(code, digits);
        } else if rest.starts_with(b"/*")
            && let Some(end) = from(rest, 2).windows(2).position(|pair| pair == b"*/")
        {
            rest = from(rest, end + 4);
        } else if let Some(after) = rest.strip_prefix(b"*/") {
            rest = after;
        }
        if rest.len() == before {
            return rest;
        }
    }
}

fn next(rest: &[u8]) -> Option<(Class, usize)> {
    let &byte = rest.first()?;
    Some(match byte {
        b'\'' | b'"' => (Class::Text, 1 + string_length(from(rest, 1), byte)),
        b'0'..=b'9' => number(rest),
        b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => number(rest),
        b'@' => (Class::Variable, rest.iter().take_while(|byte| is_word(**byte) || **byte == b'@').count()),
        b'#' => (Class::Comment, line(rest)),
        b'-' if rest.starts_with(b"--") => (Class::Comment, line(rest)),
        b'/' if rest.starts_with(b"/*") => (Class::Comment, rest.len()),
        b'(' => (Class::Open, 1),
        b')' => (Class::Close, 1),
        b',' => (Class::Comma, 1),
        b';' => (Class::Semicolon, 1),
        b'.' => (Class::Dot, 1),
        b'`' | b'[' | b']' => (Class::Dot, 1),
        _ if is_word(byte) || byte >= 0x80 => word(rest),
        _ => operator(rest),
    })
}

fn line(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

/// Bytes up to and with the closing quote; doubled and escaped quotes belong to the string.
fn string_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        if byte == b'\\' {
            at += 2;
        } else if byte == quote {
            if rest.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn number(rest: &[u8]) -> (Class, usize) {
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'.').count();
    let text = rest.get(..length).unwrap_or(rest);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let hex = text.strip_prefix(b"0x").is_some_and(|tail| tail.iter().all(u8::is_ascii_hexdigit));
    match text.get(digits) {
        _ if hex => (Class::Number, length),
        None => (Class::Number, digits),
        Some(b'e') if text.get(digits + 1).is_some_and(u8::is_ascii_digit) => (Class::Number, length),
        // `1or`, `1union`: MySQL reads a number and then the word.
        Some(_) if keyword(from(text, digits)).is_some_and(|class| class != Class::Name) => {
            (Class::Number, digits)
        }
        Some(_) => (Class::Name, length),
    }
}

fn word(rest: &[u8]) -> (Class, usize) {
    let length = rest.iter().take_while(|byte| is_word(**byte) || **byte >= 0x80 || **byte == b'$').count();
    let class = rest.get(..length).and_then(keyword).unwrap_or(Class::Name);
    (class, length)
}

fn operator(rest: &[u8]) -> (Class, usize) {
    for (sign, class) in [
        (&b"<=>"[..], Class::Compare),
        (b"<>", Class::Compare),
        (b"!=", Class::Compare),
        (b"<=", Class::Compare),
        (b">=", Class::Compare),
        (b"||", Class::Logic),
        (b"&&", Class::Logic),
    ] {
        if rest.starts_with(sign) {
            return (class, sign.len());
        }
    }
    match rest.first() {
        Some(b'=' | b'<' | b'>') => (Class::Compare, 1),
        Some(b'!') => (Class::Not, 1),
        _ => (Class::Arithmetic, 1),
    }
}

fn keyword(word: &[u8]) -> Option<Class> {
    let at = KEYWORDS.binary_search_by(|(known, _)| known.as_bytes().cmp(word)).ok()?;
    KEYWORDS.get(at).map(|(_, class)| *class)
}

/// Words with a meaning in the SQL dialects of MySQL, PostgreSQL, SQL Server, Oracle and SQLite; sorted.
const KEYWORDS: &[(&str, Class)] = &[
    ("all", Class::Quantifier),
    ("alter", Class::Statement),
    ("and", Class::Logic),
    ("ascii", Class::Function),
    ("avg", Class::Function),
    ("begin", Class::Statement),
    ("benchmark", Class::Danger),
    ("between", Class::Compare),
    ("by", Class::By),
    ("case", Class::Case),
    ("cast", Class::Function),
    ("char", Class::Function),
    ("chr", Class::Function),
    ("coalesce", Class::Function),
    ("concat", Class::Function),
    ("concat_ws", Class::Function),
    ("convert", Class::Function),
    ("count", Class::Function),
    ("create", Class::Statement),
    ("ctxsys", Class::Danger),
    ("current_user", Class::Function),
    ("database", Class::Object),
    ("dbms_pipe", Class::Danger),
    ("declare", Class::Statement),
    ("delay", Class::Object),
    ("delete", Class::Statement),
    ("distinct", Class::Quantifier),
    ("distinctrow", Class::Quantifier),
    ("div", Class::Arithmetic),
    ("drop", Class::Statement),
    ("dumpfile", Class::Catalogue),
    ("elt", Class::Function),
    ("except", Class::Union),
    ("exec", Class::Statement),
    ("execute", Class::Statement),
    ("exists", Class::Not),
    ("extractvalue", Class::Danger),
    ("from", Class::From),
    ("generate_series", Class::Danger),
    ("grant", Class::Statement),
    ("group", Class::Clause),
    ("group_concat", Class::Function),
    ("having", Class::Clause),
    ("hex", Class::Function),
    ("if", Class::Function),
    ("ifnull", Class::Function),
    ("iif", Class::Function),
    ("in", Class::Compare),
    ("information_schema", Class::Catalogue),
    ("insert", Class::Statement),
    ("instr", Class::Function),
    ("intersect", Class::Union),
    ("into", Class::Object),
    ("is", Class::Compare),
    ("json_keys", Class::Function),
    ("left", Class::Function),
    ("length", Class::Function),
    ("like", Class::Compare),
    ("limit", Class::Clause),
    ("load_file", Class::Danger),
    ("lower", Class::Function),
    ("make_set", Class::Function),
    ("master", Class::Name),
    ("merge", Class::Statement),
    ("mid", Class::Function),
    ("minus", Class::Union),
    ("mod", Class::Arithmetic),
    ("not", Class::Not),
    ("now", Class::Function),
    ("null", Class::Null),
    ("nullif", Class::Function),
    ("openrowset", Class::Danger),
    ("or", Class::Logic),
    ("ord", Class::Function),
    ("order", Class::Clause),
    ("outfile", Class::Catalogue),
    ("pg_catalog", Class::Catalogue),
    ("pg_sleep", Class::Danger),
    ("procedure", Class::Object),
    ("randomblob", Class::Danger),
    ("regexp", Class::Compare),
    ("regexp_substring", Class::Function),
    ("repeat", Class::Function),
    ("rlike", Class::Compare),
    ("row", Class::Function),
    ("schema", Class::Object),
    ("select", Class::Select),
    ("set", Class::Set),
    ("shutdown", Class::Statement),
    ("sleep", Class::Danger),
    ("sqlite_master", Class::Catalogue),
    ("substr", Class::Function),
    ("substring", Class::Function),
    ("sys_eval", Class::Danger),
    ("syscolumns", Class::Catalogue),
    ("sysdate", Class::Function),
    ("sysobjects", Class::Catalogue),
    ("system_user", Class::Function),
    ("sysusers", Class::Catalogue),
    ("table", Class::Object),
    ("tablespace", Class::Object),
    ("then", Class::Case),
    ("top", Class::Quantifier),
    ("true", Class::Null),
    ("truncate", Class::Statement),
    ("unhex", Class::Function),
    ("union", Class::Union),
    ("update", Class::Statement),
    ("updatexml", Class::Danger),
    ("user", Class::Object),
    ("user_lock", Class::Danger),
    ("utl_http", Class::Danger),
    ("utl_inaddr", Class::Danger),
    ("values", Class::Values),
    ("version", Class::Function),
    ("view", Class::Object),
    ("waitfor", Class::Wait),
    ("when", Class::Case),
    ("where", Class::Where),
    ("xmltype", Class::Function),
    ("xor", Class::Logic),
    ("xp_cmdshell", Class::Danger),
    ("xp_dirtree", Class::Danger),
    ("xp_regread", Class::Danger),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted_by(|a, b| a.0 < b.0));
    }

    fn classes(text: &str, context: Context) -> Vec<Class> {
        let mut tokens = Vec::new();
        tokenize(text.as_bytes(), context, &mut tokens);
        tokens.iter().map(|token| token.class).collect()
    }

    #[test]
    fn tokens_in_context() {
        use Class::*;
        for (text, context, expected) in [
            ("1 or 1=1", Context::Bare, vec![Number, Logic, Number, Compare, Number]),
            ("x' or 'a'='a", Context::Quoted(b'\''), vec![Text, Logic, Text, Compare, Text]),
            ("o'brien", Context::Quoted(b'\''), vec![Text, Name]),
            ("1/**/union/*!50000select*/2", Context::Bare, vec![Number, Union, Select, Number]),
            ("1or 2", Context::Bare, vec![Number, Logic, Number]),
            ("0x414 'it''s' 1e5 5kg", Context::Bare, vec![Number, Text, Number, Name]),
            ("a -- b\nc # d", Context::Bare, vec![Name, Comment, Name, Comment]),
            ("@@version;", Context::Bare, vec![Variable, Semicolon]),
        ] {
            assert_eq!(classes(text, context), expected, "{text}");
        }
    }
}

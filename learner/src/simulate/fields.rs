//! Values that people and programs put into requests.

use super::Random;
use serde::{Deserialize, Serialize};

/// Kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// A whole number.
    Number,
    /// A decimal amount.
    Amount,
    /// A currency code.
    Currency,
    /// A short identifier.
    Identifier,
    /// A UUID.
    Uuid,
    /// An account number of a country's form.
    Account,
    /// A random secret of a protocol.
    Token,
    /// A person's or thing's name.
    Name,
    /// A mail address.
    Email,
    /// A password.
    Secret,
    /// A date.
    Date,
    /// A few words of free text, some with quotes, dashes and accents.
    Words,
    /// An address of a page.
    Url,
    /// A path on this site.
    Path,
}

impl Field {
    pub(super) fn value(self, random: &mut Random) -> String {
        match self {
            Self::Number => (random.lognormal(60.0, 2.0) as u64).to_string(),
            Self::Amount => format!("{:.2}", random.lognormal(60.0, 1.3)),
            Self::Currency => ["EUR", "EUR", "EUR", "USD", "GBP", "CHF"][random.below(6)].to_owned(),
            Self::Identifier => identifier(random),
            Self::Uuid => uuid(random),
            Self::Account => match random.below(3) {
                0 => format!(
                    "DE{:02}{:018}",
                    random.below(98),
                    random.identifier() % 1_000_000_000_000_000_000
                ),
                1 => identifier(random),
                _ => uuid(random),
            },
            Self::Token => token(random),
            Self::Name => name(random),
            Self::Email => format!("{}@example.org", name(random).replace([' ', '\''], ".").to_lowercase()),
            Self::Secret => format!(
                "{}{}{}",
                name(random),
                ["!", "#", "$", "-", "&"][random.below(5)],
                random.between(1, 9_999)
            ),
            Self::Date => format!("2025-{:02}-{:02}", random.between(1, 13), random.between(1, 29)),
            Self::Words => words(random),
            Self::Url => format!("https://bank.example/{}", segment(random)),
            Self::Path => format!("/{}", segment(random)),
        }
    }
}

const SEGMENTS: [&str; 24] = [
    "accounts",
    "profile",
    "history",
    "payments",
    "items",
    "orders",
    "settings",
    "cards",
    "documents",
    "messages",
    "statements",
    "loans",
    "offers",
    "limits",
    "contacts",
    "entries",
    "standing-orders",
    "me",
    "status",
    "help",
    "transfer-form",
    "consents",
    "exchange_rates",
    "branches",
];

pub(super) fn segment(random: &mut Random) -> String {
    SEGMENTS[random.below(SEGMENTS.len())].to_owned()
}

pub(super) fn file(random: &mut Random) -> String {
    ["app.css", "app.js", "logo.svg", "font-regular.woff2", "favicon.ico", "chart.min.js", "icons/menu.png"]
        [random.below(7)]
    .to_owned()
}

pub(super) fn identifier(random: &mut Random) -> String {
    match random.below(4) {
        0 => random.between(1, 1_000_000).to_string(),
        1 => format!("{:08x}", random.identifier() as u32),
        2 => format!("acc-{}", random.between(1, 100_000)),
        _ => letters(random, 10, 26),
    }
}

pub(super) fn uuid(random: &mut Random) -> String {
    let (a, b) = (random.identifier(), random.identifier());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

pub(super) fn token(random: &mut Random) -> String {
    letters(random, 20, 90)
}

fn letters(random: &mut Random, from: u64, to: u64) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..random.between(from, to)).map(|_| char::from(LETTERS[random.below(LETTERS.len())])).collect()
}

fn name(random: &mut Random) -> String {
    const NAMES: [&str; 18] = [
        "Anna",
        "Sean O'Brien",
        "Zoë Müller",
        "Jean-François",
        "N'Diaye",
        "María José",
        "Łukasz",
        "Tom",
        "D'Angelo",
        "Priya",
        "Chen Wei",
        "Ólafur",
        "alice",
        "bob",
        "carol77",
        "Jo",
        "Fatima",
        "van der Berg",
    ];
    NAMES[random.below(NAMES.len())].to_owned()
}

fn words(random: &mut Random) -> String {
    const WORDS: [&str; 40] = [
        "rent",
        "June",
        "thanks",
        "for",
        "the",
        "dinner",
        "invoice",
        "#4711",
        "2025/06",
        "-",
        "birthday",
        "gift",
        "Mom's",
        "school",
        "fees",
        "&",
        "holiday",
        "loan",
        "car",
        "repair",
        "ref:",
        "A-17",
        "(July)",
        "don't",
        "forget",
        "50%",
        "electricity",
        "l'eau",
        "Miete",
        "für",
        "Mai",
        "cinéma",
        "tickets",
        "x2",
        "select",
        "plan",
        "order",
        "and",
        "or",
        "club;",
    ];
    let count = 1 + random.below(8);
    (0..count).map(|_| WORDS[random.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
}

/// `application/x-www-form-urlencoded`, as browsers write it.
pub(super) fn form_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

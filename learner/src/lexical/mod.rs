//! Lexical inspection: signs of injection in a request's decoded parts.

#![deny(clippy::indexing_slicing)]

mod command;
mod decode;
mod parts;
mod path;
mod probe;
mod script;
mod sql;
mod sql_rules;
mod text;

use crate::features::request::RequestSample;
use parts::Place;
use serde::Serialize;
use text::Hit;

/// Family of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attack {
    /// SQL injection.
    Sql,
    /// Cross-site scripting.
    Script,
    /// Path traversal and reading of the system's files.
    Path,
    /// Command injection.
    Command,
    /// Scanners and other probes (template, LDAP, JNDI, header splitting, …).
    Other,
}

impl Attack {
    /// All families, in the order of [`Findings`]' scores.
    pub const ALL: [Self; 5] = [Self::Sql, Self::Script, Self::Path, Self::Command, Self::Other];

    /// Short stable name, as in reason codes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sql => "sqli",
            Self::Script => "xss",
            Self::Path => "path_traversal",
            Self::Command => "command_injection",
            Self::Other => "probe",
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "part", content = "name", rename_all = "snake_case")]
pub enum Location {
    /// The path.
    Path,
    /// The query as a whole.
    Query,
    /// A query parameter of this name.
    QueryParameter(String),
    /// A header of this name.
    Header(String),
    /// A field of this name in a form or JSON body.
    BodyField(String),
    /// The body as a whole.
    Body,
}

/// One sign of an attack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Family.
    pub attack: Attack,
    /// Certainty, 0 to 1; from 0.8 on harmless texts are very rare.
    pub score: f32,
    /// Where.
    pub location: Location,
    /// What, in words; never the content itself.
    pub matched: &'static str,
}

/// Everything found in a request, at most [`FINDINGS_MAX`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Findings {
    items: Vec<Finding>,
    scores: [f32; 5],
}

/// Findings kept of one request, the first ones.
pub const FINDINGS_MAX: usize = 16;

impl Findings {
    /// The findings in the order of the request's parts.
    pub fn items(&self) -> &[Finding] {
        &self.items
    }

    /// Highest score of a family, 0 for none.
    pub fn score(&self, attack: Attack) -> f32 {
        self.scores.get(attack as usize).copied().unwrap_or(0.0)
    }

    /// Highest score of all.
    pub fn worst(&self) -> f32 {
        self.scores.iter().copied().fold(0.0, f32::max)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Looks for signs of injection in path, parameters, headers and body, in linear time; whole bodies of unknown kind
/// are looked at as one text. About 20 µs for a kilobyte.
pub fn inspect(sample: &RequestSample<'_>) -> Findings {
    let mut inspection = Inspection::default();
    parts::each(sample, |place, text| inspection.part(place, text));
    inspection.findings
}

/// Reads lower-case text.
type Detect = fn(&[u8]) -> Option<Hit>;

/// What one inspection carries from part to part: the findings, and buffers that are used again.
#[derive(Default)]
struct Inspection {
    findings: Findings,
    text: Vec<u8>,
    next: Vec<u8>,
}

impl Inspection {
    fn part(&mut self, place: Place<'_>, raw: &[u8]) {
        if is_plain(raw) {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        let mut next = std::mem::take(&mut self.next);
        let mut layers = usize::from(decode::layer(raw, place.plus(), &mut text));
        text.make_ascii_lowercase();
        self.judge(place, &text);
        // What an application sees after one layer was judged; now what lies under all of them.
        let mut deeper = false;
        while layers <= decode::LAYERS_MAX && decode::layer(&text, false, &mut next) {
            std::mem::swap(&mut text, &mut next);
            layers += 1;
            deeper = true;
        }
        if deeper {
            text.make_ascii_lowercase();
            self.judge(place, &text);
        }
        if layers > decode::LAYERS_MAX {
            self.add(Attack::Other, place, Hit { score: 0.8, matched: "encoded over and over" });
        }
        self.text = text;
        self.next = next;
    }

    fn judge(&mut self, place: Place<'_>, text: &[u8]) {
        let detectors: [(Attack, Detect); 5] = [
            (Attack::Sql, sql::detect),
            (Attack::Script, script::detect),
            (Attack::Path, path::detect),
            (Attack::Command, command::detect),
            (Attack::Other, probe::detect),
        ];
        for (attack, detect) in detectors {
            if let Some(hit) = detect(text) {
                self.add(attack, place, hit);
            }
        }
        if let Place::Header("user-agent") = place
            && let Some(hit) = probe::scanner(text)
        {
            self.add(Attack::Other, place, hit);
        }
    }

    fn add(&mut self, attack: Attack, place: Place<'_>, hit: Hit) {
        if let Some(score) = self.findings.scores.get_mut(attack as usize) {
            *score = score.max(hit.score);
        }
        let location = place.location();
        let items = &mut self.findings.items;
        let finding = Finding { attack, score: hit.score, location, matched: hit.matched };
        let known = |item: &Finding| item.attack == attack && item.location == finding.location;
        let room = items.len() < FINDINGS_MAX;
        match items.iter_mut().find(|item| known(item)) {
            Some(item) if item.score < hit.score => *item = finding,
            Some(_) => {}
            None if room => items.push(finding),
            None => {}
        }
    }
}

/// Whether a text is one word, number or identifier, in which nothing can be hidden.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b':' | b'@'))
        && !text.windows(2).any(|pair| pair == b"--")
}

#[cfg(test)]
mod tests;

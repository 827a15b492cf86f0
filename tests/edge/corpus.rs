//! The labelled framing cases of http-desync-guardian (Apache-2.0): whatever could be read in two ways is read in none.

use std::path::PathBuf;

use super::gateway::Edge;

#[derive(Default, Debug)]
struct Case {
    _name: String,
    method: String,
    uri: String,
    version: String,
    fields: Vec<(String, String)>,
    tier: String,
}

/// The few forms of YAML in which the cases are written.
fn cases(text: &str) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for line in text.lines() {
        let (depth, line) = (line.len() - line.trim_start().len(), line.trim());
        let Some((key, value)) = line.trim_start_matches("- ").split_once(':') else { continue };
        let value = scalar(value.trim());
        if line.starts_with("- name") && depth == 0 {
            all.push(Case { _name: value, ..Case::default() });
            continue;
        }
        let Some(case) = all.last_mut() else { continue };
        match (key, depth) {
            ("method", 2) => case.method = value,
            ("uri", 2) => case.uri = value,
            ("version", 2) => case.version = value,
            ("name", 4) => case.fields.push((value, String::new())),
            ("value", 6) => case.fields.last_mut().unwrap().1 = value,
            ("tier", 4) => case.tier = value,
            _ => {}
        }
    }
    all
}

/// A double-quoted scalar has escapes; the others stand as they are.
fn scalar(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.trim_matches('\'').to_owned();
    };
    let mut plain = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next() } else { None };
        plain.push(match escaped {
            None => letter,
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some('x') => {
                let code: String = letters.by_ref().take(2).collect();
                char::from(u8::from_str_radix(&code, 16).unwrap())
            }
            Some(other) => other,
        });
    }
    plain
}

fn bytes(case: &Case, host: &str) -> Vec<u8> {
    let mut text = format!("{} {} {}\r\n", case.method, case.uri, case.version);
    if !case.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text += &format!("Host: {host}\r\n");
    }
    for (name, value) in &case.fields {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n0\r\n\r\n";
    text += &format!("GET /inspected/hidden HTTP/1.1\r\nHost: {host}\r\n\r\n");
    // One byte a letter, as the cases mean it.
    text.chars()
        .flat_map(|c| u8::try_from(u32::from(c)).map_or_else(|_| c.to_string().into_bytes(), |b| vec![b]))
        .collect()
}

pub async fn is_read_one_way(edge: Edge) {
    let folder =
        PathBuf::from(std::env::var_os("GATEHOUSE_DATA").expect("GATEHOUSE_DATA names the public corpora"));
    let mut failed = Vec::new();
    let mut count = 0;
    for file in ["severe", "ambiguous", "acceptable", "rfc-compliant"] {
        let text = std::fs::read_to_string(folder.join("framing").join(format!("{file}.yaml"))).unwrap();
        for case in cases(&text) {
            count += 1;
            let got = edge.send(bytes(&case, edge.host())).await;
            let seen = edge.upstream.taken();
            let hidden = seen.iter().any(|request| request.contains("/inspected/hidden"));
            let refused =
                got.responses() <= 1 && (got.text.is_empty() || (400..=505).contains(&got.status()));
            let fine = match file {
                "severe" | "ambiguous" => refused && got.closed && seen.is_empty(),
                // A request without doubt about its end may be followed by another.
                _ => !hidden || seen.len() == 2,
            };
            if !fine {
                failed.push(format!("{file}: {case:?}\n    {got:?}\n    upstream {seen:?}"));
            }
        }
    }
    println!("{count} cases, {} not as they should be", failed.len());
    assert!(count >= 45, "{count} cases were read");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

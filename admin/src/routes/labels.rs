//! `/api/v1/labels`: what decisions turned out to be, as JSON or CSV.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::answer;
use crate::extract::TableBody;
use crate::gate::Permit;
use crate::refusal::{Problem, Refusal};
use crate::state::Shared;
use crate::views::{DecisionLabel, LabelsTaken, MalformedLabel};

/// Rows of one upload.
const ROWS_MAX: usize = 50_000;
/// Malformed rows that are answered one by one.
const MALFORMED_MAX: usize = 100;
/// A label may be known as early as 2000.
const KNOWN_MS_MIN: i64 = 946_684_800_000;

/// Says what decisions turned out to be. JSON: `{"labels":[{"decision":"…","fraud":true,"known_at_ms":…}]}`, or the list
/// alone. CSV: a header line with `decision`, `fraud` and, if wanted, `known_at_ms`, in any order. `fraud` is true, false, 1
/// or 0; `known_at_ms`, since when it is known, is now where it is left out. What was said before is said again without
/// harm, and the opposite replaces it.
#[utoipa::path(post, path = "/api/v1/labels", tag = "models",
    request_body(content = String, description = "JSON or CSV", content_type = "text/csv"),
    responses(
        (status = 200, description = "What became of them", body = LabelsTaken),
        (status = 400, description = "Neither list nor table", body = Problem),
        (status = 413, description = "Over 4 MiB", body = Problem),
        (status = 415, description = "Neither JSON nor CSV", body = Problem),
        (status = 422, description = "Over 50,000 rows", body = Problem),
    ))]
pub(crate) async fn upload(
    State(app): Shared,
    permit: Permit,
    table: TableBody,
) -> Result<Response, Refusal> {
    let now_ms = app.now_ms();
    let rows = match &table {
        TableBody::Json(bytes) => json_rows(bytes)?,
        TableBody::Csv(bytes) => csv_rows(bytes)?,
    };
    let (labels, malformed) = sorted_out(rows, now_ms);
    let (fine, faulty) = (labels.len(), malformed.len() as u64);
    // Whoever keeps what was sent can show that it is what was taken.
    let sent = learner::artifact::digest(table.bytes());
    permit.intend(serde_json::json!({ "labels": fine, "malformed": faulty, "sha256": sent })).await?;
    let taken = app.ports.labels.put(labels, faulty, &permit.operator().subject).await?;
    let malformed = malformed.into_iter().take(MALFORMED_MAX).collect();
    answer::json(&HeaderMap::new(), &LabelsTaken { malformed, malformed_total: faulty, ..taken })
}

/// A row with its line.
type Row = (u64, Result<RawLabel, String>);

/// A label as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabel {
    decision: String,
    fraud: Flag,
    #[serde(default)]
    known_at_ms: Option<i64>,
}

/// Yes or no, as a word or a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Flag {
    Word(bool),
    Number(u8),
}

impl Flag {
    fn value(&self) -> Result<bool, String> {
        match self {
            Self::Word(word) => Ok(*word),
            Self::Number(0) => Ok(false),
            Self::Number(1) => Ok(true),
            Self::Number(_) => Err("fraud is neither 1 nor 0".to_owned()),
        }
    }
}

fn sorted_out(rows: Vec<Row>, now_ms: i64) -> (Vec<DecisionLabel>, Vec<MalformedLabel>) {
    let (mut labels, mut malformed) = (Vec::new(), Vec::new());
    for (line, row) in rows {
        match row.and_then(|raw| label(raw, now_ms)) {
            Ok(label) => labels.push(label),
            Err(reason) => malformed.push(MalformedLabel { line, reason }),
        }
    }
    (labels, malformed)
}

fn label(raw: RawLabel, now_ms: i64) -> Result<DecisionLabel, String> {
    let digits = raw.decision.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if raw.decision.len() != 32 || !digits {
        return Err("decision is no id of a decision: 32 hexadecimal digits, lower case".to_owned());
    }
    let known_at_ms = raw.known_at_ms.unwrap_or(now_ms);
    if !(KNOWN_MS_MIN..=now_ms).contains(&known_at_ms) {
        return Err("known_at_ms is in the future, or no time in Unix milliseconds".to_owned());
    }
    Ok(DecisionLabel { fraud: raw.fraud.value()?, decision: raw.decision, known_at_ms })
}

fn json_rows(bytes: &[u8]) -> Result<Vec<Row>, Refusal> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| Refusal::Body(error.to_string()))?;
    let list = match value {
        Value::Array(list) => list,
        Value::Object(mut members) if members.len() == 1 => match members.remove("labels") {
            Some(Value::Array(list)) => list,
            _ => return Err(Refusal::Body("labels is no list".to_owned())),
        },
        _ => return Err(Refusal::Body("neither a list nor an object with labels alone".to_owned())),
    };
    bounded(list.len())?;
    let row = |(at, value)| (at, serde_json::from_value(value).map_err(|error| error.to_string()));
    Ok((1..).zip(list).map(row).collect())
}

/// CSV of plain fields: ids, flags and numbers have neither commas nor quotes in them, but may stand in quotes.
fn csv_rows(bytes: &[u8]) -> Result<Vec<Row>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Body("the table is not UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> = lines.next().map(|(_, line)| fields(line).collect()).unwrap_or_default();
    let place = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    let (decision, fraud) = place("decision").zip(place("fraud")).ok_or_else(|| {
        Refusal::Body("the first line names no columns decision and fraud, separated by commas".to_owned())
    })?;
    let known = place("known_at_ms");
    if header.len() != 2 + usize::from(known.is_some()) {
        return Err(Refusal::Body("columns other than decision, fraud and known_at_ms".to_owned()));
    }
    let rows: Vec<Row> = lines
        .map(|(line, text)| {
            let row: Vec<&str> = fields(text).collect();
            let cell = |at: usize| row.get(at).copied().unwrap_or_default();
            let parsed = if row.len() == header.len() {
                csv_label(cell(decision), cell(fraud), known.map(cell).unwrap_or_default())
            } else {
                Err(format!("{} fields under {} columns", row.len(), header.len()))
            };
            (line, parsed)
        })
        .collect();
    bounded(rows.len())?;
    Ok(rows)
}

fn fields(line: &str) -> impl Iterator<Item = &str> {
    let bare = |field: &str| field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some();
    line.split(',').map(str::trim).map(move |field| if bare(field) { field.trim_matches('"') } else { field })
}

fn csv_label(decision: &str, fraud: &str, known_at_ms: &str) -> Result<RawLabel, String> {
    let fraud = match fraud.to_ascii_lowercase().as_str() {
        "1" | "true" => Flag::Word(true),
        "0" | "false" => Flag::Word(false),
        _ => return Err("fraud is none of true, false, 1, 0".to_owned()),
    };
    let known_at_ms = match known_at_ms {
        "" => None,
        number => Some(number.parse().map_err(|_| "known_at_ms is no number".to_owned())?),
    };
    Ok(RawLabel { decision: decision.to_owned(), fraud, known_at_ms })
}

fn bounded(rows: usize) -> Result<(), Refusal> {
    if rows > ROWS_MAX {
        return Err(Refusal::Unprocessable(format!("{rows} rows; send at most {ROWS_MAX} at once")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;
    const ID: &str = "01a0c3d2e5f6000102030405060708ff";

    fn read(rows: Result<Vec<Row>, Refusal>) -> (Vec<(bool, i64)>, Vec<u64>) {
        let (labels, malformed) = sorted_out(rows.unwrap(), NOW);
        let labels = labels.into_iter().map(|label| (label.fraud, label.known_at_ms)).collect();
        (labels, malformed.into_iter().map(|row| row.line).collect())
    }

    #[test]
    fn json_in_both_shapes_and_row_by_row() {
        let list = format!(
            r#"[{{"decision":"{ID}","fraud":true}}, {{"decision":"{ID}","fraud":0,"known_at_ms":1789000000000}},
                {{"decision":"{ID}"}}, {{"decision":"x","fraud":true}}, 7, {{"decision":"{ID}","fraud":2}},
                {{"decision":"{ID}","fraud":true,"note":"x"}}, {{"decision":"{ID}","fraud":true,"known_at_ms":{}}}]"#,
            NOW + 1
        );
        let wanted = (vec![(true, NOW), (false, 1_789_000_000_000)], vec![3, 4, 5, 6, 7, 8]);
        assert_eq!(read(json_rows(list.as_bytes())), wanted);
        assert_eq!(read(json_rows(format!("{{\"labels\":{list}}}").as_bytes())), wanted);
        for odd in ["", "7", "{}", "{\"labels\":7}", "{\"labels\":[],\"more\":1}", "[}"] {
            assert!(matches!(json_rows(odd.as_bytes()), Err(Refusal::Body(_))), "{odd}");
        }
        let many = format!("[{}]", vec!["7"; ROWS_MAX + 1].join(","));
        assert!(matches!(json_rows(many.as_bytes()), Err(Refusal::Unprocessable(_))));
    }

    #[test]
    fn csv_in_any_order_of_columns_with_line_numbers() {
        let table = format!(
            "\u{feff}fraud, Decision ,known_at_ms\r\n1,{ID},\r\n\r\nFALSE,\"{ID}\",1789000000000\nmaybe,{ID},\n1,{ID}\n\
             1,../../etc/passwd,\n1,{ID},soon\n"
        );
        let wanted = (vec![(true, NOW), (false, 1_789_000_000_000)], vec![5, 6, 7, 8]);
        assert_eq!(read(csv_rows(table.as_bytes())), wanted);
        for odd in ["", "decision;fraud", "decision,fraud,name", "fraud\n1"] {
            assert!(matches!(csv_rows(odd.as_bytes()), Err(Refusal::Body(_))), "{odd}");
        }
        assert!(matches!(csv_rows(b"decision,fraud\n\xff,1"), Err(Refusal::Body(_))));
    }
}

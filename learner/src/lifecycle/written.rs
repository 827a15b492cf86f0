//! Bins as an artifact keeps them: one line of text a feature, a third of what lists of numbers take there.

use super::drift::{Baseline, Bins};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
struct Written {
    rows: usize,
    score: String,
    /// `name: edges | shares`.
    features: Vec<String>,
}

/// For `#[serde(with = …)]`.
pub fn serialize<S: Serializer>(baseline: &Option<Baseline>, to: S) -> Result<S::Ok, S::Error> {
    let written = baseline.as_ref().map(|baseline| Written {
        rows: baseline.rows,
        score: line(&baseline.score),
        features: baseline
            .names
            .iter()
            .zip(&baseline.features)
            .map(|(name, bins)| format!("{name}: {}", line(bins)))
            .collect(),
    });
    written.serialize(to)
}

/// For `#[serde(with = …)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Baseline>, D::Error> {
    let Some(Written { rows, score, features }) = Option::deserialize(from)? else { return Ok(None) };
    let unreadable = || D::Error::custom("bins that cannot be read");
    let mut baseline = Baseline {
        names: Vec::new(),
        features: Vec::new(),
        score: bins(&score).ok_or_else(unreadable)?,
        rows,
    };
    for feature in features {
        // A name may hold anything, numbers hold no colon.
        let (name, line) = feature.rsplit_once(": ").ok_or_else(unreadable)?;
        baseline.names.push(name.to_owned());
        baseline.features.push(bins(line).ok_or_else(unreadable)?);
    }
    Ok(Some(baseline))
}

fn line(bins: &Bins) -> String {
    let edges: Vec<String> = bins.edges.iter().map(f32::to_string).collect();
    let shares: Vec<String> = bins.expected.iter().map(f64::to_string).collect();
    format!("{} | {}", edges.join(" "), shares.join(" "))
}

fn bins(line: &str) -> Option<Bins> {
    fn numbers<T: std::str::FromStr>(text: &str) -> Option<Vec<T>> {
        text.split_whitespace().map(|number| number.parse().ok()).collect()
    }
    let (edges, shares) = line.split_once('|')?;
    Some(Bins { edges: numbers(edges)?, expected: numbers(shares)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(with = "super", default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Baseline>,
    }

    #[test]
    fn what_is_written_is_read() {
        let values = [f32::NAN, -0.1, 1e-30, 1e30, f32::INFINITY, 0.0, 3.3, 7.0];
        let rows: Vec<[f32; 2]> = (0..997).map(|n| [values[n % 8], n as f32 / 7.0]).collect();
        let rows: Vec<(&[f32], f64)> = rows.iter().map(|row| (row.as_slice(), 0.3)).collect();
        let baseline = Some(Baseline::learn(vec!["odd: name | 1".into(), String::new()], &rows));
        let text = serde_json::to_string(&Holder { baseline: baseline.clone() }).unwrap();
        assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), Holder { baseline }, "{text}");
        assert_eq!(serde_json::from_str::<Holder>("{}").unwrap(), Holder { baseline: None });
        for line in ["1 2", "1 x | 1", "| 1 - 2"] {
            let text = format!(r#"{{"baseline":{{"rows":1,"score":"{line}","features":[]}}}}"#);
            assert!(serde_json::from_str::<Holder>(&text).is_err(), "{line}");
        }
    }
}

//! Writes what training made: the table, the learning curve as JSON, and a page to look at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::q_learning::Artifact;
use super::train::Lesson;

/// Name of the table's file in a model folder.
pub const TABLE_FILE: &str = "q-learning.json";
const SUMMARY_FILE: &str = "training.json";
const PAGE_FILE: &str = "report.html";
/// Episodes in a point of the learning curve.
const WINDOW: usize = 45;

/// What training came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Episodes played.
    pub episodes: usize,
    /// States of the limit table that were visited.
    pub limit_states: usize,
    /// States of the split table that were visited.
    pub split_states: usize,
    /// Mean reward over the last tenth of the episodes.
    pub reward: f64,
    /// Mean weighted goodput over the last tenth of the episodes, by scenario. Exploration is still on here.
    pub goodput_weighted: BTreeMap<String, f64>,
    /// Mean reward of every 45 episodes in order.
    pub learning_curve: Vec<f64>,
}

impl Summary {
    /// The summary of a training run.
    #[must_use]
    pub fn of(artifact: &Artifact, lessons: &[Lesson]) -> Self {
        let late = lessons.get(lessons.len() - lessons.len() / 10..).unwrap_or(&[]);
        let mut by_scenario: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for lesson in late {
            by_scenario.entry(lesson.scenario.clone()).or_default().push(lesson.goodput_weighted);
        }
        let visited = |rows: &mut dyn Iterator<Item = u32>| rows.filter(|visits| *visits > 0).count();
        Self {
            episodes: lessons.len(),
            limit_states: visited(&mut artifact.limit.rows().map(|row| row.visits())),
            split_states: visited(&mut artifact.split.rows().map(|row| row.visits())),
            reward: mean(late.iter().map(|lesson| lesson.reward)),
            goodput_weighted: by_scenario
                .into_iter()
                .map(|(name, values)| (name, mean(values.into_iter())))
                .collect(),
            learning_curve: lessons
                .chunks(WINDOW)
                .map(|chunk| mean(chunk.iter().map(|lesson| lesson.reward)))
                .collect(),
        }
    }

    /// A page with the learning curve and the figures.
    #[must_use]
    pub fn to_html(&self) -> String {
        let mut rows = String::new();
        for (scenario, goodput) in &self.goodput_weighted {
            let _never_fails = write!(rows, "<tr><td>{}</td><td>{goodput:.3}</td></tr>", escaped(scenario));
        }
        format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Capacity training</title>\n\
             <style>body{{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}}\
             td,th{{text-align:left;padding:.1rem 1rem .1rem 0}}svg{{width:100%;height:auto}}</style>\n\
             <h1>Capacity training</h1>\n<p>{} episodes. States visited: {} for the limit, {} for the split. Mean reward \
             of the last tenth, exploration included: {:.3}.</p>\n<h2>Learning curve: mean reward of every {WINDOW} \
             episodes</h2>\n{}\n<h2>Weighted goodput of the last tenth</h2>\n<table><tr><th>scenario</th>\
             <th>goodput</th></tr>{rows}</table>\n</html>\n",
            self.episodes,
            self.limit_states,
            self.split_states,
            self.reward,
            curve(&self.learning_curve),
        )
    }
}

/// Writes table, summary and page into `folder`, the table by renaming, so that a reader finds the old one or
/// the new one and never a part. Returns the path of the table.
///
/// # Errors
/// Those of the file system.
pub fn write(folder: &Path, artifact: &Artifact, summary: &Summary) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let json = serde_json::to_string_pretty(summary).map_err(std::io::Error::other)?;
    std::fs::write(folder.join(SUMMARY_FILE), json + "\n")?;
    std::fs::write(folder.join(PAGE_FILE), summary.to_html())?;
    let table = folder.join(TABLE_FILE);
    save(&table, &artifact.to_text())?;
    Ok(table)
}

/// Replaces the file at `path` as a whole, flushed before it takes its place.
///
/// # Errors
/// Those of the file system.
pub fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// A line chart as SVG, from the least to the greatest value.
fn curve(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = (greatest - least).max(1e-9);
    let step = 560.0 / (values.len().max(2) - 1) as f64;
    let mut points = String::new();
    for (index, value) in values.iter().enumerate() {
        let (x, y) = (60.0 + step * index as f64, 180.0 - 160.0 * (value - least) / span);
        let _never_fails = write!(points, "{x:.1},{y:.1} ");
    }
    format!(
        "<svg viewBox=\"0 0 640 200\" role=\"img\" aria-label=\"learning curve\"><polyline fill=\"none\" \
         stroke=\"#06c\" stroke-width=\"2\" points=\"{points}\"/><text x=\"0\" y=\"24\" font-size=\"14\">{greatest:.3}\
         </text><text x=\"0\" y=\"184\" font-size=\"14\">{least:.3}</text></svg>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let lessons: Vec<Lesson> = (0..100)
            .map(|episode| Lesson {
                episode,
                scenario: "<flood>".to_owned(),
                reward: f64::from(episode) / 100.0,
                goodput_weighted: 0.5,
            })
            .collect();
        let artifact = Artifact::empty();
        let summary = Summary::of(&artifact, &lessons);
        assert!((summary.reward - 0.945).abs() < 1e-9, "{}", summary.reward);
        assert!(summary.to_html().contains("&lt;flood&gt;"));
        for _ in 0..2 {
            let table = write(folder.path(), &artifact, &summary).unwrap();
            assert_eq!(std::fs::read_to_string(table).unwrap(), artifact.to_text());
        }
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 3, "nothing is left beside them");
    }
}

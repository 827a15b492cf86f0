//! What the shipped alerts and dashboard watch.

use std::collections::BTreeSet;

use tests::Program;
use tests::demo::Addresses;

const FILES: [(&str, &str); 2] = [
    ("alerts", include_str!("../../configs/prometheus/gatehouse.rules.yml")),
    ("dashboard", include_str!("../../configs/grafana/gatehouse.json")),
];

pub async fn are_there(at: Addresses) {
    let scraped = Program::nobody(&at.observe).unwrap().get("/metrics").await.unwrap().text;
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<&str> = types.filter_map(|rest| rest.split(' ').next()).collect();
    for (file, text) in FILES {
        let named = named(text);
        assert!(named.len() > 10, "{file}: {named:?}");
        let missing: Vec<_> = named.iter().filter(|name| !there.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "the {file} name {missing:?}, of which there is none in {there:?}");
    }
    for watched in ["gatehouse_audit_failing", "gatehouse_capacity_fallback", "gatehouse_issuer_usable"] {
        assert!(FILES.iter().all(|(_, text)| text.contains(watched)), "nobody watches {watched}");
    }
    assert!(
        scraped.contains("gatehouse_capacity_controller{controller=\"static\",pool=\"bank\"} 0"),
        "{scraped}"
    );
}

/// Metrics by the names of their families.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("gatehouse_"));
    let family = |word: &str| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        histogram.unwrap_or(word).to_owned()
    };
    ours.map(family).collect()
}

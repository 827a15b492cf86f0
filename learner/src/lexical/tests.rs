use super::*;
use proptest::prelude::*;

/// Findings of a text as the value of one query parameter, percent-encoded as a client would.
fn value(text: &str) -> Findings {
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let query = format!("q={encoded}");
    inspect(&sample("/", Some(&query), &[], None, b""))
}

fn sample<'a>(
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a [(&'a str, &'a [u8])],
    content_type: Option<&'a str>,
    body: &'a [u8],
) -> RequestSample<'a> {
    RequestSample { method: "POST", path, query, headers, content_type, body, client_rate_per_s: None }
}

#[derive(serde::Deserialize)]
struct Cases {
    #[serde(default)]
    harmless: Vec<String>,
    #[serde(default)]
    attacks: Vec<String>,
}

fn cases(text: &str) -> Cases {
    toml::from_str(text).expect("cases are TOML")
}

/// From here on a gateway refuses; DESIGN's demo policy uses the same figure.
const CERTAIN: f32 = 0.8;

#[test]
fn harmless_banking_texts_are_left_alone() {
    let mut wrong = Vec::new();
    for text in cases(include_str!("../../tests/cases/lexical/harmless.toml")).harmless {
        let findings = value(&text);
        if findings.worst() >= CERTAIN {
            wrong.push(format!("{text}: {:?}", findings.items()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn attacks_of_each_family_are_certain() {
    let mut missed = Vec::new();
    for (attack, text) in [
        (Attack::Sql, include_str!("../../tests/cases/lexical/sqli.toml")),
        (Attack::Script, include_str!("../../tests/cases/lexical/xss.toml")),
        (Attack::Path, include_str!("../../tests/cases/lexical/path.toml")),
        (Attack::Command, include_str!("../../tests/cases/lexical/command.toml")),
        (Attack::Other, include_str!("../../tests/cases/lexical/probe.toml")),
    ] {
        for text in cases(text).attacks {
            let findings = value(&text);
            if findings.score(attack) < CERTAIN {
                missed.push(format!("{}: {text}: {:?}", attack.name(), findings.items()));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_part_of_a_request_is_looked_at() {
    let attack: &[u8] = b"' or 1=1--";
    let json = br#"{"a":{"memo":"x\u0027 or 1=1--"},"list":["<script>alert(1)</script>"]}"#;
    for (sample, location) in [
        (sample("/..%2f..%2fetc/passwd", None, &[], None, b""), Location::Path),
        (sample("/", Some("a=1&b=%27+or+1%3D1--"), &[], None, b""), Location::QueryParameter("b".into())),
        (
            sample("/", Some("%27+or+1%3D1--=1"), &[], None, b""),
            Location::QueryParameter("?27?or?1?3D1--".into()),
        ),
        (sample("/", Some("%27+or+1%3D1--"), &[], None, b""), Location::Query),
        (
            sample("/", None, &[("cookie", b"a=1; b=' or 1=1--")], None, b""),
            Location::Header("cookie".into()),
        ),
        (sample("/", None, &[("user-agent", attack)], None, b""), Location::Header("user-agent".into())),
        (
            sample("/", None, &[("referer", b"http://x/?q=%27+or+1%3D1--")], None, b""),
            Location::Header("referer".into()),
        ),
        (
            sample("/", None, &[("x-forwarded-for", attack)], None, b""),
            Location::Header("x-forwarded-for".into()),
        ),
        (
            sample("/", None, &[], Some("application/x-www-form-urlencoded"), b"a=1&memo=%27+or+1%3D1--"),
            Location::BodyField("memo".into()),
        ),
        (sample("/", None, &[], Some("application/json"), json), Location::BodyField("memo".into())),
        (sample("/", None, &[], Some("text/plain"), json), Location::BodyField("memo".into())),
        (sample("/", None, &[], Some("text/plain"), attack), Location::Body),
        (
            sample(
                "/",
                None,
                &[],
                Some("multipart/form-data; boundary=b"),
                b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n' or 1=1--\r\n--b--\r\n",
            ),
            Location::Body,
        ),
    ] {
        let findings = inspect(&sample);
        let hit =
            findings.items().iter().find(|finding| finding.location == location && finding.score >= CERTAIN);
        assert!(hit.is_some(), "{location:?} in {:?}", findings.items());
    }
}

#[test]
fn layers_of_encoding_hide_nothing() {
    for query in [
        "q=%3Cscript%3E",
        "q=%253Cscript%253E",
        "q=%25253Cscript%25253E",
        "q=%26lt%3Bscript%26gt%3B",
        "q=%5Cu003cscript",
        "q=%u003cscript",
        "q=%26%2360%3Bscript",
    ] {
        assert!(
            inspect(&sample("/", Some(query), &[], None, b"")).score(Attack::Script) >= CERTAIN,
            "{query}"
        );
    }
    let mut deep = "<".to_owned();
    for _ in 0..8 {
        deep = deep
            .bytes()
            .map(|byte| {
                if byte == b'%' || byte == b'<' {
                    format!("%{byte:02x}")
                } else {
                    char::from(byte).to_string()
                }
            })
            .collect();
    }
    let query = format!("q={deep}script");
    assert!(inspect(&sample("/", Some(&query), &[], None, b"")).score(Attack::Other) >= CERTAIN);
}

#[test]
fn padding_does_not_push_an_attack_out_of_sight() {
    for padding in ["a ".repeat(2_000), "'x' ".repeat(500), "(".repeat(3_000), "a=1&".repeat(600)] {
        let findings = value(&format!("{padding} ' union select password from users--"));
        assert!(findings.score(Attack::Sql) >= CERTAIN, "{}", &padding[..8]);
    }
    let many = format!("{}q=%3Cscript%3E", "a=1&".repeat(1_000));
    assert!(inspect(&sample("/", Some(&many), &[], None, b"")).score(Attack::Script) >= CERTAIN);
}

#[test]
fn findings_never_repeat_what_was_sent() {
    let findings = value("' union select 'hunter2-secret' from users--");
    let said = serde_json::to_string(&findings).unwrap();
    assert!(!said.contains("hunter2") && !said.contains("users"), "{said}");
    let name = inspect(&sample("/", Some("%3Cscript%3Ehunter2%3C/script%3E=1"), &[], None, b""));
    assert!(name.worst() >= CERTAIN);
    assert!(!serde_json::to_string(&name).unwrap().contains('<'));
}

#[test]
fn findings_are_bounded() {
    let query: String = (0..200).map(|n| format!("p{n}=%3Cscript%3E&")).collect();
    assert_eq!(inspect(&sample("/", Some(&query), &[], None, b"")).items().len(), FINDINGS_MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_safe(path in ".{0,64}", query in ".{0,256}", header in prop::collection::vec(any::<u8>(), 0..128), body in prop::collection::vec(any::<u8>(), 0..512), kind in 0..5usize) {
        let kinds = [None, Some("application/json"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data"), Some("x")];
        let headers: [(&str, &[u8]); 3] = [("cookie", &header), ("user-agent", &header), ("referer", &header)];
        let findings = inspect(&sample(&path, Some(&query), &headers, kinds[kind], &body));
        prop_assert!((0.0..=1.0).contains(&findings.worst()));
        crate::features::request::vector(&sample(&path, Some(&query), &headers, kinds[kind], &body), &findings);
    }

    #[test]
    fn syntax_in_any_order_is_safe(pieces in prop::collection::vec(prop::sample::select(vec!["'", "\"", "`", "<", ">", "(", ")", "--", "/*", "*/", "/*!", "%", "%2", "&#", "&lt", "\\", "$(", "${", "{{", "}}", "..", "/", ";", "|", " or ", "1", "=", "select", "union", "\n", ":", "on", "javascript", "\\u00", "#", "@@", "{", "[", ","]), 0..60)) {
        let text = pieces.concat();
        for kind in [None, Some("application/json"), Some("application/x-www-form-urlencoded")] {
            inspect(&sample(&text, Some(&text), &[("user-agent", text.as_bytes())], kind, text.as_bytes()));
        }
    }
}

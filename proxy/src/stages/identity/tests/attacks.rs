//! Runs the attack lists: every token and request in `tests/cases/identity/*.toml`, each with the reason it must meet.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    name: String,
    /// Members put over the good header; "-" takes one away.
    header: Option<toml::Value>,
    /// Members put over the good claims; "-" takes one away, "@+5" is a date five seconds from now.
    claims: Option<toml::Value>,
    /// The whole header or claims as text, for what is no JSON object.
    header_text: Option<String>,
    claims_text: Option<String>,
    /// `es` (default), `es-other`, `rs`, `ed`, `empty`, `hmac-of-rsa-key`, `hmac-of-jwks`, `zeros`, `der`.
    sign: Option<String>,
    /// What is made of the token, which stands for `{token}`.
    token: Option<String>,
    target: Option<String>,
    fields: Option<Vec<[String; 2]>>,
    /// Milliseconds added to the time.
    later_ms: i64,
    /// 0 (strict issuer, the default) or 1 (lenient issuer).
    app: usize,
    /// `ok` or a reason code.
    expect: String,
}

#[tokio::test]
async fn every_attack_meets_its_refusal() {
    let house = House::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/identity");
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file: File = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for case in file.case {
            count += 1;
            let first = run(&house, &case).await;
            let again = run(&house, &case).await;
            if first != case.expect || again != case.expect {
                wrong.push(format!("{}: {first}, again {again}, wanted {}", case.name, case.expect));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 120, "only {count} cases");
}

async fn run(house: &House, case: &Case) -> String {
    let token = token(house, case);
    let filled = |text: &str| text.replace("{token}", &token);
    let standard = [["authorization".to_owned(), "Bearer {token}".to_owned()]];
    let fields = case.fields.as_deref().unwrap_or(&standard);
    let mut builder = http::Request::builder().uri(filled(case.target.as_deref().unwrap_or("/")));
    for [name, value] in fields {
        builder = builder.header(name.as_str(), filled(value));
    }
    let parts = builder.body(()).unwrap().into_parts().0;
    let now_ms = NOW_MS + case.later_ms;
    let recognised = house.stage.recognise(case.app, &parts, &PEER, now_ms);
    let result = house.stage.identify(case.app, &Requirement::default(), &parts, &PEER, now_ms).await;
    if result.is_err() {
        assert!(recognised.is_none(), "{}: recognised, then refused", case.name);
    }
    match result {
        Ok(Authentication::Known(_)) => "ok".into(),
        Ok(Authentication::Anonymous) => "anonymous".into(),
        Err(refusal) => {
            let row = refusal.reason.row();
            let challenge = refusal.headers.iter().find(|(name, _)| name == "www-authenticate");
            assert_eq!(challenge.is_some(), row.status < 500, "{}: {refusal:?}", case.name);
            assert!(!refusal.inside.contains(&token) || token.is_empty(), "{}: token in the log", case.name);
            row.code.into()
        }
    }
}

fn token(house: &House, case: &Case) -> String {
    let lenient = case.app == 1;
    let issuer = if lenient { format!("{}/lenient", house.issuer.url) } else { house.issuer.url.clone() };
    let mut header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es" });
    let mut claims = good_claims(&issuer);
    if lenient {
        claims["tenant"] = json!("bank");
    }
    let change = |target: &mut Value, changes: &Option<toml::Value>| {
        if let Some(changes) = changes {
            merge(target, filled(serde_json::to_value(changes).unwrap(), &issuer));
        }
    };
    change(&mut header, &case.header);
    change(&mut claims, &case.claims);
    let header = case.header_text.clone().unwrap_or_else(|| header.to_string());
    let claims = case.claims_text.clone().map_or_else(
        || claims.to_string(),
        |text| {
            text.replace("{iss}", &issuer)
                .replace("{iat}", &NOW_S.to_string())
                .replace("{exp}", &(NOW_S + 60).to_string())
        },
    );
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&claims));
    let rsa = house.issuer.jwk("rs");
    let signature = match case.sign.as_deref().unwrap_or("es") {
        "empty" => Vec::new(),
        "zeros" => vec![0; 64],
        "der" => vec![0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01],
        "hmac-of-rsa-key" => {
            hmac_sha256(&URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap(), input.as_bytes())
        }
        "hmac-of-jwks" => hmac_sha256(rsa.to_string().as_bytes(), input.as_bytes()),
        signer => house.issuer.signature(signer, header.contains("PS256"), input.as_bytes()),
    };
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    case.token.as_deref().map_or(token.clone(), |text| text.replace("{token}", &token))
}

/// "-" becomes null; "@+5" a date; "{iss}" the issuer.
pub(super) fn filled(value: Value, issuer: &str) -> Value {
    match value {
        Value::String(text) if text == "-" => Value::Null,
        Value::String(text) if text.starts_with('@') => {
            let offset = &text[1..];
            offset.parse::<i64>().map_or_else(
                |_| json!(NOW_S as f64 + offset.parse::<f64>().unwrap()),
                |seconds| json!(NOW_S + seconds),
            )
        }
        Value::String(text) => json!(text.replace("{iss}", issuer).replace("{now}", &NOW_S.to_string())),
        Value::Object(map) => {
            map.into_iter().map(|(k, v)| (k, filled(v, issuer))).collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

/// What a confused verifier would compute.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
}

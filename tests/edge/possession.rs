//! Tokens bound to a key (DPoP, RFC 9449) at an application that asks for nonces, as a client meets it.

use serde_json::{Map, Value, json};
use tests::holder::Holder;
use tests::issuer::Issuer;
use tests::raw::Exchange;

use super::gateway::{AUDIENCE, Application, Configured, Edge, reason};
use super::upstream::Upstream;

const ADDRESS: &str = "https://holders.test/inspected/page";

fn claims(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The nonce that an answer brings for the next proof.
fn nonce(got: &Exchange) -> Option<String> {
    let field = got.text.lines().take_while(|line| !line.is_empty());
    let mut values = field.filter_map(|line| line.split_once(": ")).filter(|(name, _)| *name == "dpop-nonce");
    values.next().map(|(_, value)| value.to_owned())
}

pub async fn carries_a_current_nonce() {
    let issuer = Issuer::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().await;
    let holders =
        Application { name: "holders", identity: "dpop = { nonce = true }", ..Application::default() };
    let holders = holders.before(&upstream, &issuer.url);
    let configured = Configured::write(folder.path(), &upstream, &holders);
    let edge = Edge::start_in(folder, upstream, configured).await;
    let holder = Holder::new().unwrap();
    let bound = claims(json!({ "cnf": { "jkt": holder.thumbprint() } }));
    let (token, _) = issuer.token_with("ada", AUDIENCE, 600, bound).unwrap();
    let ask = async |proofs: &[&str]| {
        let proofs: String = proofs.iter().map(|proof| format!("DPoP: {proof}\r\n")).collect();
        let host = "Host: holders.test\r\nConnection: close\r\n";
        edge.send(format!(
            "GET /inspected/page?x=1 HTTP/1.1\r\n{host}Authorization: DPoP {token}\r\n{proofs}\r\n"
        ))
        .await
    };
    let proof = |nonce: Value| {
        holder.proof_with("GET", ADDRESS, Some(&token), claims(json!({ "nonce": nonce }))).unwrap()
    };

    let first = ask(&[&proof(Value::Null)]).await;
    assert_eq!((first.status(), &*reason(&first)), (401, "token.dpop_nonce"), "{}", first.text);
    assert!(first.text.contains(r#"DPoP error="use_dpop_nonce""#), "{}", first.text);
    let current = json!(nonce(&first).unwrap());

    let good = proof(current.clone());
    let whole = ask(&[&good]).await;
    assert_eq!(whole.status(), 200, "{}", whole.text);
    assert!(nonce(&whole).is_some(), "an answer brings the nonce of the next proof: {}", whole.text);
    let seen = edge.upstream.taken().concat().to_ascii_lowercase();
    assert!(!seen.contains("dpop") && !seen.contains("authorization"), "{seen}");

    let (next, other) = (proof(current.clone()), proof(current));
    let cut = next.get(..next.len() / 2).unwrap();
    let huge = "A".repeat(20_000);
    for (what, proofs, code) in [
        ("replayed", &[&*good][..], "token.dpop_replayed"),
        ("none", &[], "token.dpop_proof"),
        ("empty", &[""], "token.dpop_proof"),
        ("cut short", &[cut], "token.dpop_proof"),
        ("huge", &[&huge], "token.dpop_proof"),
        ("two", &[&*next, &*other], "token.dpop_proof"),
        ("twice the same", &[&*next, &*next], "token.dpop_proof"),
        ("no ASCII", &["\u{e4}"], "token.dpop_proof"),
    ] {
        let got = ask(proofs).await;
        assert_eq!((got.status(), &*reason(&got)), (401, code), "{what}: {}", got.text);
        assert!(edge.upstream.taken().is_empty(), "{what}");
    }
    assert_eq!(ask(&[&next]).await.status(), 200, "what was refused with others is still good");
}

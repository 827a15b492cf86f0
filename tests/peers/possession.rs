//! Programs that prove possession of a key (DPoP, RFC 9449): the provider binds their tokens to it.

use reqwest::{Method, StatusCode};
use tests::Program;
use tests::holder::Holder;
use tests::program::Answer;
use url::Url;

use crate::gateway::{Setting, World};
use crate::provider::{PROGRAM, SCOPE, SITE};

async fn ask(program: &Program, scheme: &str, token: &str, proof: Option<&str>) -> Answer {
    let authorization = format!("{scheme} {token}");
    let mut fields = vec![("authorization", authorization.as_str())];
    fields.extend(proof.map(|proof| ("dpop", proof)));
    program.send(Method::GET, "/accounts", &fields, None).await.unwrap()
}

pub async fn is_proved_once() {
    let world = World::start(Setting::default()).await;
    proves(&world, PROGRAM, async |proof| world.provider.bound_token(SITE, SCOPE, proof).await).await;
}

/// Whoever holds the token that `grant` gets for a proof must prove possession of the key at every request.
pub async fn proves(world: &World, subject: &str, grant: impl AsyncFnOnce(&str) -> String) {
    let (holder, thief) = (Holder::new().unwrap(), Holder::new().unwrap());
    let endpoint = world.provider.issuer.join("/token").unwrap();
    let proof = |by: &Holder, method: &str, url: &Url, token: Option<&str>| {
        by.proof(method, url.as_str(), token).unwrap()
    };
    let token = grant(&proof(&holder, "POST", &endpoint, None)).await;
    let accounts = world.url.join("/accounts").unwrap();
    let program = Program::nobody(&world.url).unwrap();

    let fresh = proof(&holder, "GET", &accounts, Some(&token));
    let answer = ask(&program, "DPoP", &token, Some(&fresh)).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, subject), "{answer:?}");
    let elsewhere = world.url.join("/payments").unwrap();
    for (scheme, proof, what) in [
        ("DPoP", Some(fresh), "the same proof again"),
        ("DPoP", Some(proof(&thief, "GET", &accounts, Some(&token))), "another's key"),
        ("DPoP", Some(proof(&holder, "GET", &elsewhere, Some(&token))), "a proof for another address"),
        ("DPoP", Some(proof(&holder, "POST", &accounts, Some(&token))), "a proof for another method"),
        ("DPoP", Some(proof(&holder, "GET", &accounts, None)), "a proof without the token"),
        ("DPoP", None, "no proof"),
        ("Bearer", None, "as if it were nobody's in particular"),
    ] {
        let answer = ask(&program, scheme, &token, proof.as_deref()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
        assert!(answer.header("www-authenticate").contains("DPoP"), "{what}: {answer:?}");
    }
    let fresh = proof(&holder, "GET", &accounts, Some(&token));
    let answer = ask(&program, "DPoP", &token, Some(&fresh)).await;
    assert_eq!(answer.status, StatusCode::OK, "the next proof: {answer:?}");
}

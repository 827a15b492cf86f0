use super::*;
use crate::web::Consents;

#[tokio::test]
async fn a_third_party_gets_in_by_consent_and_is_out_at_once_when_it_is_taken_back() {
    let mut provider = Provider::start().await;
    let mut browser = provider.browser();
    let changes = [("scope", "accounts:read offline_access")];
    let answer = provider.answer(&mut browser, "alice", DEMO_AGGREGATOR, &changes).await;
    let (status, tokens) = provider.redeem(DEMO_AGGREGATOR, &answer["code"]).await;
    assert_eq!(status, 200, "{tokens}");
    let access_token = text(&tokens, "access_token");
    let (_, claims) = provider.decode(access_token).await;
    assert_eq!((text(&claims, "sub"), text(&claims, "client_id")), ("alice", "demo-aggregator"));

    let listed = provider.idp.list("alice").unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].client_id.as_str(), listed[0].granted_ms), ("demo-aggregator", START_MS));
    assert_eq!(listed[0].scopes, ["accounts:read", "offline_access"]);
    assert!(provider.idp.list("alic").unwrap().is_empty(), "by whole names only");
    assert!(!provider.idp.revoke_consent("bob", DEMO_AGGREGATOR).unwrap());
    assert!(provider.is_active(access_token).await);

    assert!(provider.idp.revoke_consent("alice", DEMO_AGGREGATOR).unwrap());
    assert!(!provider.is_active(access_token).await);
    let told = provider.revoked.try_recv().unwrap();
    assert!(matches!(told, Revoked::Token { jti, .. } if jti == text(&claims, "jti")));
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(provider.post_as(DEMO_AGGREGATOR, "/token", &refresh).await.0, 400);
    assert!(provider.idp.list("alice").unwrap().is_empty());
    let silent = provider.answer(&mut browser, "alice", DEMO_AGGREGATOR, &[("prompt", "none")]).await;
    assert_eq!(silent["error"], "consent_required");
}

#[tokio::test]
async fn a_code_from_before_the_withdrawal_is_worth_nothing_after_it() {
    let provider = Provider::start().await;
    let answer = provider.answer(&mut provider.browser(), "alice", DEMO_AGGREGATOR, &[]).await;
    provider.idp.revoke_consent("alice", DEMO_AGGREGATOR).unwrap();
    let (status, error) = provider.redeem(DEMO_AGGREGATOR, &answer["code"]).await;
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
}

#[tokio::test]
async fn consent_is_asked_once_for_the_same_and_again_for_more() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    provider.answer(&mut browser, "alice", DEMO_AGGREGATOR, &[]).await;
    for (scope, prompt, expected) in
        [("accounts:read", "none", None), ("accounts:read offline_access", "none", Some("consent_required"))]
    {
        let changes = [("scope", scope), ("prompt", prompt)];
        let answer = provider.answer(&mut browser, "alice", DEMO_AGGREGATOR, &changes).await;
        assert_eq!(answer.get("error").map(String::as_str), expected, "{scope}");
    }
    let start = provider.authorize_url(DEMO_AGGREGATOR, &[("prompt", "consent")]);
    let response = browser.get(start).await.unwrap();
    assert!(header(&response, "location").starts_with("/consent?"), "asked again on request");
}

#[tokio::test]
async fn saying_no_gives_nothing() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    provider.script("alice").run_in(&mut browser).await.unwrap();
    for decision in ["deny", "", "ALLOW"] {
        let start = browser.get(provider.authorize_url(DEMO_AGGREGATOR, &[])).await.unwrap();
        let page_url = start.url().join(header(&start, "location")).unwrap();
        let page = browser.get(page_url.clone()).await.unwrap().text().await.unwrap();
        assert!(page.contains("see your accounts, balances and history"));
        let mut fields = script::hidden_fields(&page);
        fields.push(("decision".to_owned(), decision.to_owned()));
        let answer = browser.post(page_url, &fields).await.unwrap();
        assert!(header(&answer, "location").contains("error=access_denied"), "{decision:?}");
    }
    assert!(provider.idp.list("alice").unwrap().is_empty());
}

#[tokio::test]
async fn the_gateway_is_first_party_and_asks_for_no_consent() {
    let provider = Provider::start().await;
    provider.answer(&mut provider.browser(), "alice", DEMO_WEB, &[]).await;
    assert!(provider.idp.list("alice").unwrap().is_empty());
}

#[tokio::test]
async fn a_question_put_to_one_person_is_not_answered_by_another() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    provider.script("alice").run_in(&mut browser).await.unwrap();
    let start = browser.get(provider.authorize_url(DEMO_AGGREGATOR, &[])).await.unwrap();
    let page_url = start.url().join(header(&start, "location")).unwrap();
    let page = browser.get(page_url.clone()).await.unwrap().text().await.unwrap();
    let mut fields = script::hidden_fields(&page);
    fields.push(("decision".to_owned(), "allow".to_owned()));
    provider.answer(&mut browser, "bob", DEMO_WEB, &[("login_hint", "bob")]).await;
    assert_eq!(browser.post(page_url, &fields).await.unwrap().status(), 400);
    for subject in ["alice", "bob"] {
        assert!(provider.idp.list(subject).unwrap().is_empty(), "{subject}");
    }
}

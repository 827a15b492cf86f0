use axum::extract::{RawQuery, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Goes to the log-in page of a new request; its address and its hidden fields.
async fn login_page(provider: &Provider, browser: &mut Browser) -> (Url, Vec<(String, String)>) {
    let start = browser.get(provider.authorize_url(DEMO_WEB, &[])).await.unwrap();
    let url = start.url().join(header(&start, "location")).unwrap();
    let page = browser.get(url.clone()).await.unwrap().text().await.unwrap();
    (url, script::hidden_fields(&page))
}

fn with(fields: &[(String, String)], more: &[(&str, &str)]) -> Vec<(String, String)> {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    fields.iter().cloned().chain(more).collect()
}

const RIGHT: [(&str, &str); 2] = [("username", "alice"), ("password", "gatehouse-demo")];

#[tokio::test]
async fn pages_carry_strict_headers_and_cookies() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let start = browser.get(provider.authorize_url(DEMO_WEB, &[])).await.unwrap();
    let cookie = header(&start, "set-cookie");
    assert!(
        cookie.starts_with("idp_browser=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let url = start.url().join(header(&start, "location")).unwrap();
    let page = browser.get(url).await.unwrap();
    for (name, expected) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(header(&page, name), expected, "{name}");
    }
    assert_eq!(
        header(&page, "content-security-policy"),
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
         form-action 'self' http://gateway.test:8080"
    );
    let style = provider.http.get(provider.at("/assets/bank.css")).send().await.unwrap();
    assert_eq!((style.status().as_u16(), header(&style, "content-type")), (200, "text/css; charset=utf-8"));
}

#[tokio::test]
async fn half_a_header_is_cut_off() {
    let bounds = Bounds { header_timeout: std::time::Duration::from_millis(200), ..CONNECTIONS };
    let provider = Provider::start_with(Url::parse("http://gateway.test:8080/").unwrap(), bounds).await;
    let address = provider.url.socket_addrs(|| None).unwrap()[0];
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /jwks.json HTTP/1.1\r\n").await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_client_sends_is_shown_as_text_only() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let hint = [("login_hint", "\"><script>alert(1)</script>")];
    let start = browser.get(provider.authorize_url(DEMO_WEB, &hint)).await.unwrap();
    let url = start.url().join(header(&start, "location")).unwrap();
    let page = browser.get(url).await.unwrap().text().await.unwrap();
    assert!(page.contains("alert(1)") && !page.contains("<script"), "{page}");
}

#[tokio::test]
async fn a_form_is_accepted_only_from_our_page_in_the_browser_that_began() {
    let provider = Provider::start().await;
    let mut victim = provider.browser();
    let mut mallory = provider.browser();
    let (url, fields) = login_page(&provider, &mut mallory).await;
    let (_, victims_fields) = login_page(&provider, &mut victim).await;
    let without_token: Vec<_> = fields.iter().filter(|(name, _)| name != "csrf").cloned().collect();
    let mixed: Vec<_> = vec![fields[0].clone(), victims_fields[1].clone()];
    assert_eq!((fields[0].0.as_str(), fields[1].0.as_str()), ("txn", "csrf"));
    for (what, browser, fields) in [
        ("the right browser without the form's token", &mut mallory.clone(), &without_token),
        ("another form's token", &mut mallory.clone(), &mixed),
        ("no cookie at all", &mut provider.browser(), &fields),
    ] {
        let response = browser.post(url.clone(), &with(fields, &RIGHT)).await.unwrap();
        assert_eq!(response.status(), 400, "{what}");
    }
    // Another browser is sent to a page of its own, whatever it brings along.
    for response in [
        victim.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap(),
        victim.get(url.clone()).await.unwrap(),
    ] {
        let own = url.join(header(&response, "location")).unwrap();
        assert_eq!((own.path(), own == url), ("/login", false));
        let page = victim.get(own.clone()).await.unwrap();
        let own_fields = script::hidden_fields(&page.text().await.unwrap());
        let response = victim.post(own, &with(&own_fields, &RIGHT)).await.unwrap();
        assert!(header(&response, "location").starts_with("/otp?"));
    }
    let response = mallory.post(url, &with(&fields, &RIGHT)).await.unwrap();
    assert!(header(&response, "location").starts_with("/otp?"));
}

#[tokio::test]
async fn no_step_can_be_skipped_or_taken_twice() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let (url, fields) = login_page(&provider, &mut browser).await;
    for (path, more) in [("/otp", ("otp", "000000")), ("/consent", ("decision", "allow"))] {
        let response = browser.post(url.join(path).unwrap(), &with(&fields, &[more])).await.unwrap();
        assert!(header(&response, "location").starts_with("/login?"), "{path}");
        assert!(browser.cookie(&provider.url, "idp_session").is_none());
    }
    browser.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap();
    assert!(browser.cookie(&provider.url, "idp_session").is_none(), "a password alone is no session");
    let otp = url.join("/otp").unwrap();
    let entered = with(&fields, &[("otp", "000000")]);
    let mut second = browser.clone();
    let answers = tokio::join!(browser.post(otp.clone(), &entered), second.post(otp.clone(), &entered));
    let codes = [answers.0.unwrap(), answers.1.unwrap()]
        .iter()
        .filter(|answer| header(answer, "location").contains("code="))
        .count();
    assert_eq!(codes, 1);
    let again = browser.post(otp, &entered).await.unwrap();
    assert!(
        header(&again, "location").starts_with("/login?"),
        "done is done: the way begins with the password"
    );
}

#[tokio::test]
async fn wrong_second_factors_send_back_to_the_password() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let (url, fields) = login_page(&provider, &mut browser).await;
    browser.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap();
    let otp = url.join("/otp").unwrap();
    for code in ["000001", "", "0000000", "00000a", "999999"] {
        let response = browser.post(otp.clone(), &with(&fields, &[("otp", code)])).await.unwrap();
        assert_eq!(response.status(), 403, "{code}");
    }
    let response = browser.post(otp, &with(&fields, &[("otp", "000000")])).await.unwrap();
    assert!(header(&response, "location").starts_with("/login?"), "the right one comes too late");
}

#[tokio::test]
async fn whoever_begins_ten_thousand_log_ins_pushes_out_nobodys() {
    let provider = Provider::start().await;
    let (mut alice, mut bob) = (provider.browser(), provider.browser());
    let (url, fields) = login_page(&provider, &mut alice).await;
    let (_, of_bob) = login_page(&provider, &mut bob).await;
    let right = with(&of_bob, &[("username", "bob"), ("password", "gatehouse-demo")]);
    bob.post(url.clone(), &right).await.unwrap();

    let begins = provider.authorize_url(DEMO_WEB, &[]);
    for _ in 0..=provider::ENTRIES_MAX {
        let query = RawQuery(begins.query().map(str::to_owned));
        let begun = authorize::get(State(provider.idp.clone()), http::HeaderMap::new(), query).await;
        assert_eq!(begun.status(), 303);
    }

    let page = alice.get(url.clone()).await.unwrap();
    assert_eq!(page.status(), 200, "before the password");
    let entered = alice.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap();
    assert!(header(&entered, "location").starts_with("/otp?"), "{entered:?}");
    for (browser, fields) in [(&mut alice, &fields), (&mut bob, &of_bob)] {
        let done = browser.post(url.join("/otp").unwrap(), &with(fields, &[("otp", "000000")])).await;
        assert!(header(&done.unwrap(), "location").contains("code="), "after the password");
    }
}

#[tokio::test]
async fn codes_guessed_at_once_are_no_more_than_codes_guessed_in_a_row() {
    let provider = Provider::start().await;
    let mut browser = provider.browser();
    let (url, fields) = login_page(&provider, &mut browser).await;
    browser.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap();
    let otp = url.join("/otp").unwrap();
    let guess = async |number: u32| {
        let mut browser = browser.clone();
        let code = format!("{:06}", 1 + number);
        browser.post(otp.clone(), &with(&fields, &[("otp", &code)])).await.unwrap().status().as_u16()
    };
    let told = futures_util::future::join_all((0..40).map(guess)).await;
    assert!(told.iter().filter(|status| **status == 403).count() <= 5, "{told:?}");
    let right = browser.post(otp, &with(&fields, &[("otp", "000000")])).await.unwrap();
    assert!(!header(&right, "location").contains("code="));
    assert!(browser.cookie(&provider.url, "idp_session").is_none());
}

#[tokio::test]
async fn a_right_password_does_not_wipe_out_wrong_codes() {
    let provider = Provider::start().await;
    let mut looked_at = 0;
    for _ in 0..4 {
        let mut browser = provider.browser();
        let (url, fields) = login_page(&provider, &mut browser).await;
        browser.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap();
        for code in ["000001", "000002", "000003"] {
            let entered = with(&fields, &[("otp", code)]);
            let told = browser.post(url.join("/otp").unwrap(), &entered).await.unwrap();
            looked_at += u32::from(told.status() == 403);
        }
    }
    assert_eq!(looked_at, 6, "five are free, and the sixth begins the wait");
}

#[tokio::test]
async fn guessing_is_slowed_and_the_person_is_not_locked_out() {
    let provider = Provider::start().await;
    let mut guesser = provider.browser();
    let (url, fields) = login_page(&provider, &mut guesser).await;
    let guess = with(&fields, &[("username", "alice"), ("password", "wrong-password")]);
    let mut answers = BTreeMap::<u16, u32>::new();
    for _ in 0..20 {
        let response = guesser.post(url.clone(), &guess).await.unwrap();
        let status = response.status().as_u16();
        *answers.entry(status).or_default() += 1;
        assert_eq!(response.headers().contains_key("retry-after"), status == 429);
    }
    assert_eq!(answers, BTreeMap::from([(403, 6), (429, 14)]));
    let right = guesser.post(url.clone(), &with(&fields, &RIGHT)).await.unwrap();
    assert_eq!(right.status(), 429, "a right guess is not even looked at while it has to wait");

    let elsewhere = client(Some("127.0.0.2".parse().unwrap())).unwrap();
    provider.script("alice").run(&elsewhere).await.expect("alice elsewhere does not notice");
    provider.log_in("bob").await;
    provider.pass(1_000);
    let right = guesser.post(url, &with(&fields, &RIGHT)).await.unwrap();
    assert!(header(&right, "location").starts_with("/otp?"), "the wait ends");
}

#[tokio::test]
async fn unknown_names_wrong_passwords_and_monsters_look_alike() {
    let provider = Provider::start().await;
    let mut pages = Vec::new();
    let long = "p".repeat(4_000);
    for (username, password) in [
        ("alice", "wrong-password"),
        ("nobody", "gatehouse-demo"),
        ("alice'--", "x"),
        ("alice", &long),
        ("", ""),
    ] {
        let mut browser = provider.browser();
        let (url, fields) = login_page(&provider, &mut browser).await;
        let entered = with(&fields, &[("username", username), ("password", password)]);
        let response = browser.post(url, &entered).await.unwrap();
        assert_eq!(response.status(), 403, "{username}");
        let page = response.text().await.unwrap();
        let page = fields.iter().fold(page, |page, (_, value)| page.replace(value, ""));
        // The name comes back as it was entered, whoever has it or nobody, and the cursor stands where something is missing.
        let echoed = format!("value=\"{}\"", username.replace('\'', "&#39;"));
        assert!(page.contains(&echoed), "{username}");
        pages.push(page.replace(&echoed, "value=\"\"").replace(" autofocus", ""));
    }
    assert!(pages.iter().all(|page| page == &pages[0]));
}

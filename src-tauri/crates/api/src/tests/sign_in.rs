//! A browser gets the token by a code, once.

use serde_json::json;

use super::{Entry, TOKEN, fake, request};
use crate::router::EXCHANGE;

const CODES: &str = "/api/sign-in/codes";

#[tokio::test]
async fn a_code_is_exchanged_once_and_without_the_token() {
    let (fake, _feed) = fake();
    let owner = Entry::new(fake);
    let made = owner.post(CODES, "").await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), "no-store");
    let body = json!({ "code": made.json()["code"] }).to_string();

    let browser = owner.without_token();
    let got = browser.post(EXCHANGE, &body).await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.header("cache-control"), "no-store");
    assert_eq!(got.json(), json!({ "token": TOKEN }));

    let again = browser.post(EXCHANGE, &body).await;
    assert_eq!(
        (again.status.as_u16(), again.code().as_str()),
        (401, "sign_in_refused")
    );
    assert!(again.header("www-authenticate").starts_with("Bearer"));
    assert!(
        again.json()["remedy"]
            .as_str()
            .unwrap()
            .contains("studio-cockpit open")
    );
    assert!(!again.text().contains(TOKEN));
}

#[tokio::test]
async fn who_has_no_token_makes_no_code() {
    let (fake, _feed) = fake();
    let stranger = Entry::new(fake).without_token();
    let got = stranger.post(CODES, "").await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (401, "unauthorized")
    );
}

#[tokio::test]
async fn what_is_not_a_code_is_refused_and_not_read_at_length() {
    let (fake, _feed) = fake();
    let stranger = Entry::new(fake).without_token();
    for (body, status, code) in [
        (r#"{"code":""}"#, 401, "sign_in_refused"),
        (
            r#"{"code":"00000000000000000000000000000000"}"#,
            401,
            "sign_in_refused",
        ),
        (r#"{"code":7}"#, 400, "bad_request"),
        (r#"{"code":"0","more":1}"#, 400, "bad_request"),
        ("", 400, "bad_request"),
    ] {
        let got = stranger.post(EXCHANGE, body).await;
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    let long = json!({ "code": "0".repeat(2000) }).to_string();
    let got = stranger.post(EXCHANGE, &long).await;
    assert_eq!(
        (got.status.as_u16(), got.code().as_str()),
        (413, "too_large")
    );
    // A page elsewhere can only send a form; the door refuses its Origin besides.
    let mut form = request("POST", EXCHANGE, r#"{"code":"0"}"#);
    form.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(stranger.ask(form).await.status, 415);
}

//! What is personal data or a secret, and what only looks like it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use cockpit_pii::{Kind, in_text};

/// Texts with exactly one find, which is the part between `«` and `»`.
const FOUND: &[(Kind, &[&str])] = &[
    (
        Kind::Email,
        &[
            "write to «ada.lovelace@example.com», please",
            "«ada+news@mail.example.co.uk»",
            "<«a_b-c@example.museum»>",
            "mailto:«info@example.org»?subject=x",
            "(«o'brien@example.ie»)",
            "«jürgen@müller.de» schreibt",
            "联系«support@example.cn»谢谢",
            r#"{\"to\":\"«x@example.com»\"}"#,
            r"line\n«bob@example.com»\nline",
            "ends with a point: «bob@example.com».",
        ],
    ),
    (
        Kind::Password,
        &[
            "DATABASE_URL=postgres://app:«s3cr3t!»@db.example.com:5432/app",
            "https://user:«hunter2»@example.com/path",
        ],
    ),
    (
        Kind::Card,
        &[
            "my card is «4111 1111 1111 1111», thanks",
            "«5500-0000-0000-0004»",
            "Card:«4012888888881881»",
            "amex «3782 822463 10005»",
            "amex «378282246310005» 12/27",
            "«6011111111111117».",
            "«3530 1113 3330 0000» exp 10/30",
            "«2223003122003222»",
            "«30569309025904»",
            r"card\n«4111111111111111»",
        ],
    ),
    (
        Kind::Iban,
        &[
            "«DE89 3704 0044 0532 0130 00»",
            "IBAN: «GB29NWBK60161331926819»",
            "«fr14 2004 1010 0505 0001 3m02 606»",
            "«CH93 0076 2011 6238 5295 7» ok",
            "«NL91ABNA0417164300»,",
            "«MT84MALT011000012345MTLCAST001S»",
        ],
    ),
    (
        Kind::Phone,
        &[
            "call me at «+1 (415) 555-2671»",
            "«+49 (0)30 901820»",
            "«+49 170 1234567»",
            "«+33 6 12 34 56 78»",
            "«+442079460958»",
            "«(415) 555-2671»",
            "«415-555-2671»",
            "«1-800-555-0199»",
            "415 x «415.555.2671»",
            "«06 12 34 56 78»",
            "«0170 1234567»",
            "«030/1234567»",
            "«020 7946 0958»",
            "«0049 30 1234567»",
            "Tel. «5552671»",
            "mobile: «07700900123»",
        ],
    ),
    (
        Kind::UsSsn,
        &["SSN «123-45-6789»", "«219-09-9998»", "ssn: «123456789»"],
    ),
    (Kind::UkNino, &["«AB 12 34 56 C»", "NI number «JG103759A»"]),
    (
        Kind::DeTaxId,
        &["Steuer-ID «86095742719»", "«86 095 742 719»"],
    ),
    (
        Kind::FrNir,
        &[
            "«1 85 05 78 006 084 91»",
            "«255081416802538»",
            "«1 85 05 2A 006 084 35»",
        ],
    ),
    (
        Kind::EsDni,
        &["DNI «12345678Z»", "«12345678-Z»", "NIE «X1234567L»"],
    ),
    (
        Kind::ItFiscalCode,
        &["CF «RSSMRA85T10A562S»", "«rssmra85t10a562s»"],
    ),
    (Kind::ChAhv, &["«756.9217.0769.85»", "«7569217076985»"]),
    (
        Kind::NlBsn,
        &["BSN «111222333»", "burgerservicenummer: «123456782»"],
    ),
    (Kind::BeNrn, &["«93.05.18-223.61»"]),
    (Kind::BrCpf, &["CPF «529.982.247-25»"]),
    (Kind::PlPesel, &["PESEL «44051401359»"]),
    (Kind::InAadhaar, &["Aadhaar «2345 6789 0124»"]),
    (
        Kind::OpenAiKey,
        &[
            "OPENAI_API_KEY=«sk-proj-Ab3dEf6hIj9kLmN0pQr5tUvWx_yZ-12»",
            "'«sk-4bC9dE1fG7hJ2kL5mN8pQ3rS6tV0wX»'",
        ],
    ),
    (
        Kind::AnthropicKey,
        &["«sk-ant-api03-Ab3dEf6hIj9kLmN0pQr5tUvWxyZ12-34»"],
    ),
    (
        Kind::AwsKey,
        &[
            "aws_access_key_id = «AKIAIOSFODNN7EXAMPLE»",
            "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE1»",
        ],
    ),
    (
        Kind::GithubToken,
        &["token «ghp_16C7e42F292c6912E7710c838347Ae178B4a»"],
    ),
    (
        Kind::GoogleKey,
        &["key=«AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q»"],
    ),
    (
        Kind::SlackToken,
        &[
            "«xoxb-2345678901-2345678901234-AbCdEfGhIjKlMnOp»",
            "https://«hooks.slack.com/services/T0123ABCD/B0456EFGH/a1B2c3D4e5F6g7H8i9J0»",
        ],
    ),
    (Kind::StripeKey, &["«sk_live_4eC39HqLyjWDarjtT1zdp7dc»"]),
    (
        Kind::ApiKey,
        &[
            "«glpat-a1B2c3D4e5F6g7H8i9J0»",
            "ask it with «cockpit_a7Bq2Zt9Lm4Xc8Vn1Kd6Rw3Ye5Hu0J4BFJEt»",
            "HF «hf_a1B2c3D4e5F6g7H8i9J0kLmNoPqRsTuV»",
        ],
    ),
    (
        Kind::Jwt,
        &[
            "Bearer «eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c»",
        ],
    ),
    (
        Kind::PrivateKey,
        &[
            "key: «-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123\n\nMIIEpAIBAAKCAQEA1234+/==\n-----END RSA PRIVATE KEY-----» ok",
            r"«-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----»\n",
            "cut off: «-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU»",
        ],
    ),
];

/// Texts in which nothing is to be found.
const CLEAN: &[&str] = &[
    "",
    "The quick brown fox jumps over the lazy dog.",
    // No addresses.
    "npm i react@18.2.0 @types/node@20 lodash@^4.17",
    "git clone git@github.com:owner/name.git",
    "@dataclass\nclass A: ...",
    "scale = a@b + c@d.T",
    "image@sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "user@localhost, root@host",
    "postgres://app:${PASSWORD}@db/app and https://{user}:{password}@host",
    // No cards.
    "order 4111111111111112, tracking 1234567890123456",
    "550e8400-e29b-41d4-a716-446655440000",
    "0000 0000 0000 0000",
    "id=9111111111111111 ts=1700000000000 ns=1700000000000000000",
    "discord 175928847299117063, tweet 1460323737035677698",
    "/orders/4111111111111111/lines",
    "0.4111111111111111 and 3.141592653589793",
    "EAN 4006381333931, ISBN 978-3-16-148410-0",
    // No accounts.
    "DE89 3704 0044 0532 0130 01",
    "SE12 is a postcode; BE68 too",
    "commit DE8937040044053201300",
    // No telephone numbers.
    "2024-01-15 12:30:45.123, 15.01.2024, 01/15/2024",
    "between 1990-2024 and 1000-2000",
    "192.168.100.200:8080 and 10.0.0.1",
    "version 1.2.3-4567, 120.0.6099.109",
    "x+12345678 or 1+2345678",
    "a diff: @@ -1,7 +1,7 @@ and +123",
    "lines 100-200-3000, rows 12 34 56 78",
    "0.123 456 789",
    "$1,234,567.89 and 12 345 678 EUR",
    "const MASK: u64 = 0x7569217076985;",
    "999-99-9999 000-12-3456 666-12-3456",
    "[0.12345678, -0.98765432, 1234567890]",
    "111222333 alone, 44051401359x",
    // No national numbers.
    "AB123456E and PART-AB123456C7, GB123456A",
    "12345678A, 12345678",
    "RSSMRA85T10A562T",
    "756.1234.5678.90",
    "111.111.111-11",
    "93.05.18-223.62",
    // No secrets.
    "sk-your-api-key-goes-here-please",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "div.sk-estimator-doc-link, sk-toggleable__content",
    "risk-management-of-2024-in-the-whole-world",
    "task-a1B2c3D4e5F6g7H8i9J0k1L2m3",
    "AKIA is how they begin; AKIASHORT",
    "ghp_tooshort",
    "eyJ is base64 of {\"",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 me",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIE\n-----END CERTIFICATE-----",
    "a PEM begins with -----BEGIN PRIVATE KEY----- as a rule",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
];

#[test]
fn what_is_there_is_found_exactly() {
    let mut wrong = Vec::new();
    for (kind, texts) in FOUND {
        for marked in *texts {
            let start = marked.find('«').unwrap();
            let end = marked.find('»').unwrap() - '«'.len_utf8();
            let text = marked.replace(['«', '»'], "");
            let found = in_text(text.as_bytes()).all;
            let as_told: Vec<_> = found
                .iter()
                .map(|find| (find.kind, &text[find.at.clone()]))
                .collect();
            if as_told != [(*kind, &text[start..end])] {
                wrong.push(format!("{marked}: {as_told:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_has_an_example() {
    for kind in Kind::ALL {
        assert!(FOUND.iter().any(|(found, _)| *found == kind), "{kind:?}");
    }
}

#[test]
fn what_only_looks_like_it_is_not_found() {
    let wrong: Vec<_> = CLEAN
        .iter()
        .map(|text| (text, in_text(text.as_bytes()).all))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

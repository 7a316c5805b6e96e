//! What can be found.

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The private half of a key pair, as PEM.
    PrivateKey,
    /// A password inside of a URL.
    Password,
    /// A key of Anthropic's API.
    AnthropicKey,
    /// A key of `OpenAI`'s API.
    OpenAiKey,
    /// An access key of Amazon Web Services, or its secret.
    AwsKey,
    /// A token of GitHub.
    GithubToken,
    /// A key of Google's APIs.
    GoogleKey,
    /// A token or webhook of Slack.
    SlackToken,
    /// A key of Stripe.
    StripeKey,
    /// A key of some other vendor.
    ApiKey,
    /// A signed web token.
    Jwt,
    /// An e-mail address.
    Email,
    /// An account number with a country.
    Iban,
    /// A payment card's number.
    Card,
    /// United States: Social Security number.
    UsSsn,
    /// United Kingdom: National Insurance number.
    UkNino,
    /// Germany: tax identification number.
    DeTaxId,
    /// France: numéro de sécurité sociale.
    FrNir,
    /// Spain: DNI and NIE.
    EsDni,
    /// Italy: codice fiscale.
    ItFiscalCode,
    /// Switzerland: AHV number.
    ChAhv,
    /// Netherlands: burgerservicenummer.
    NlBsn,
    /// Belgium: rijksregisternummer.
    BeNrn,
    /// Poland: PESEL.
    PlPesel,
    /// Brazil: CPF.
    BrCpf,
    /// India: Aadhaar number.
    InAadhaar,
    /// A telephone number.
    Phone,
}

impl Kind {
    /// All of them, the surest first: where two overlap, the first one names them both.
    pub const ALL: [Self; 27] = [
        Self::PrivateKey,
        Self::Password,
        Self::AnthropicKey,
        Self::OpenAiKey,
        Self::AwsKey,
        Self::GithubToken,
        Self::GoogleKey,
        Self::SlackToken,
        Self::StripeKey,
        Self::ApiKey,
        Self::Jwt,
        Self::Email,
        Self::Iban,
        Self::Card,
        Self::UsSsn,
        Self::UkNino,
        Self::DeTaxId,
        Self::FrNir,
        Self::EsDni,
        Self::ItFiscalCode,
        Self::ChAhv,
        Self::NlBsn,
        Self::BeNrn,
        Self::PlPesel,
        Self::BrCpf,
        Self::InAadhaar,
        Self::Phone,
    ];

    /// The word for it in events and counts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::Password => "password",
            Self::AnthropicKey => "anthropic_key",
            Self::OpenAiKey => "openai_key",
            Self::AwsKey => "aws_key",
            Self::GithubToken => "github_token",
            Self::GoogleKey => "google_key",
            Self::SlackToken => "slack_token",
            Self::StripeKey => "stripe_key",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Email => "email",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::UsSsn => "us_ssn",
            Self::UkNino => "uk_nino",
            Self::DeTaxId => "de_tax_id",
            Self::FrNir => "fr_nir",
            Self::EsDni => "es_dni",
            Self::ItFiscalCode => "it_fiscal_code",
            Self::ChAhv => "ch_ahv",
            Self::NlBsn => "nl_bsn",
            Self::BeNrn => "be_nrn",
            Self::PlPesel => "pl_pesel",
            Self::BrCpf => "br_cpf",
            Self::InAadhaar => "in_aadhaar",
            Self::Phone => "phone",
        }
    }

    /// What stands in its place once it is replaced: plain letters in brackets, so that the model still reads what was
    /// there, and nothing has to be escaped. No label holds a digit: none is found again.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PrivateKey => "[PRIVATE_KEY]",
            Self::Password => "[PASSWORD]",
            Self::AnthropicKey
            | Self::OpenAiKey
            | Self::AwsKey
            | Self::GithubToken
            | Self::GoogleKey
            | Self::SlackToken
            | Self::StripeKey
            | Self::ApiKey => "[API_KEY]",
            Self::Jwt => "[TOKEN]",
            Self::Email => "[EMAIL]",
            Self::Iban => "[IBAN]",
            Self::Card => "[CARD]",
            Self::UsSsn
            | Self::UkNino
            | Self::DeTaxId
            | Self::FrNir
            | Self::EsDni
            | Self::ItFiscalCode
            | Self::ChAhv
            | Self::NlBsn
            | Self::BeNrn
            | Self::PlPesel
            | Self::BrCpf
            | Self::InAadhaar => "[NATIONAL_ID]",
            Self::Phone => "[PHONE]",
        }
    }
}

//! Who a provider is, by the names that applications and their instrumentation give it.

use cockpit_metering::price;

/// Endings that say which of a vendor's interfaces it was (`openai.chat`, `anthropic.messages`).
const INTERFACES: &[&str] = &[
    ".chat",
    ".completion",
    ".embedding",
    ".generative-ai",
    ".image",
    ".messages",
    ".responses",
    ".speech",
    ".transcription",
];

/// Our name for a provider: lower case, the vendor's usual name where it is known by several.
pub(super) fn name(told: &str) -> String {
    let lower = told.trim().to_ascii_lowercase();
    let bare = INTERFACES
        .iter()
        .find_map(|interface| lower.strip_suffix(interface))
        .unwrap_or(&lower);
    match bare {
        "aws.bedrock" | "aws_bedrock" | "amazon-bedrock" | "amazon_bedrock" => "bedrock".to_owned(),
        "azure.ai.inference" | "az.ai.inference" | "azure-openai" => "azure".to_owned(),
        "ibm.watsonx.ai" => "watsonx".to_owned(),
        "google.vertex" | "google-vertex" | "vertexai" | "google_genai" => "gemini".to_owned(),
        "_other" => String::new(),
        other => price::vendor(other).to_owned(),
    }
}

/// The provider at a host, where no name was told.
pub(super) fn at(host: &str) -> String {
    let port = host.rsplit(':').next().unwrap_or_default();
    if port == "11434" {
        return "ollama".to_owned();
    }
    match price::vendor_at("", &format!("https://{host}")) {
        "" | "other" => String::new(),
        vendor => vendor.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_one() {
        for (told, ours) in [
            ("openai", "openai"),
            ("OpenAI", "openai"),
            ("openai.chat", "openai"),
            ("openai.responses", "openai"),
            ("anthropic.messages", "anthropic"),
            ("az.ai.openai", "azure"),
            ("azure.ai.openai", "azure"),
            ("azure-openai.chat", "azure"),
            ("gcp.vertex_ai", "gemini"),
            ("google.generative-ai", "gemini"),
            ("mistral_ai", "mistral"),
            ("x_ai", "xai"),
            ("aws.bedrock", "bedrock"),
            ("Ollama", "ollama"),
            ("_OTHER", ""),
            ("my-own", "my-own"),
        ] {
            assert_eq!(name(told), ours, "{told}");
        }
        assert_eq!(at("api.groq.com"), "groq");
        assert_eq!(at("localhost:11434"), "ollama");
        assert_eq!(at("10.0.0.7"), "");
    }
}

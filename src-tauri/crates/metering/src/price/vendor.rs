//! Who a provider is, by the many names it goes by.

/// The name a vendor is listed under, from a provider's kind, its name, or OpenTelemetry's name for it. A name that is
/// not known is its own. Expects lower case.
pub fn vendor(provider: &str) -> &str {
    match provider {
        "azure.ai.openai" | "az.ai.openai" | "azure_openai" => "azure",
        "codestral" | "mistral_ai" | "mistralai" => "mistral",
        "cohere_chat" => "cohere",
        "gcp.gemini" | "gcp.gen_ai" | "gcp.vertex_ai" | "google" | "vertex_ai" => "gemini",
        "moonshot_ai" | "moonshotai" => "moonshot",
        "together" | "together.ai" => "together_ai",
        "x_ai" | "x.ai" => "xai",
        "text-completion-openai" => "openai",
        "z.ai" | "zhipu" => "zai",
        other => other,
    }
}

/// The vendor behind a `base_url`, where its host is known; else what the provider's kind says. So a provider of kind
/// `openai` at Groq's address is priced by Groq's list.
pub fn vendor_at<'a>(kind: &'a str, base_url: &str) -> &'a str {
    let host = host(base_url).to_ascii_lowercase();
    match host.as_str() {
        "api.openai.com" => "openai",
        "api.anthropic.com" => "anthropic",
        "api.cerebras.ai" => "cerebras",
        "api.cohere.ai" | "api.cohere.com" => "cohere",
        "api.deepseek.com" => "deepseek",
        "generativelanguage.googleapis.com" => "gemini",
        "api.groq.com" => "groq",
        "api.minimax.io" => "minimax",
        "api.mistral.ai" | "codestral.mistral.ai" => "mistral",
        "api.moonshot.ai" | "api.moonshot.cn" => "moonshot",
        "api.perplexity.ai" => "perplexity",
        "api.together.ai" | "api.together.xyz" => "together_ai",
        "api.voyageai.com" => "voyage",
        "api.x.ai" => "xai",
        "api.z.ai" => "zai",
        // Known to sell others' models at prices of their own, which are not listed.
        "openrouter.ai"
        | "api.fireworks.ai"
        | "api.deepinfra.com"
        | "router.huggingface.co"
        | "models.github.ai" => "other",
        _ if host.ends_with(".openai.azure.com") || host.ends_with(".services.ai.azure.com") => {
            "azure"
        }
        _ => vendor(kind),
    }
}

pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let address = authority.rsplit('@').next().unwrap_or(authority);
    if address.starts_with('[') {
        return address;
    }
    address.split(':').next().unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_the_vendor() {
        for (kind, url, vendor) in [
            ("openai", "https://api.openai.com/v1", "openai"),
            ("openai", "https://api.groq.com/openai/v1", "groq"),
            ("openai", "https://API.Mistral.ai:443/v1", "mistral"),
            (
                "openai",
                "https://acme.openai.azure.com/openai/v1/",
                "azure",
            ),
            ("openai", "https://openrouter.ai/api/v1", "other"),
            ("openai", "http://127.0.0.1:8080/v1", "openai"),
            ("openai", "http://[::1]:8080/v1", "openai"),
            ("anthropic", "https://api.anthropic.com", "anthropic"),
            (
                "anthropic",
                "https://api.anthropic.com.evil.example",
                "anthropic",
            ),
            ("ollama", "http://localhost:11434", "ollama"),
            (
                "openai",
                "https://api.openai.com@proxy.example/v1",
                "openai",
            ),
            ("openai", "", "openai"),
        ] {
            assert_eq!(vendor_at(kind, url), vendor, "{url}");
        }
    }
}

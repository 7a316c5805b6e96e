//! The API's own description.

/// The OpenAPI 3.1 document of everything the Router answers, as JSON.
pub fn document() -> String {
    include_str!("openapi.json").replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

//! Bytes as OTLP's messages.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::json;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Measurements.
    Metrics,
    /// Log records.
    Logs,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// The body is not what it is said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be read as OTLP: {0}")]
pub struct Malformed(pub String);

fn protobuf<M: Message + Default>(body: &[u8]) -> Result<M, Malformed> {
    M::decode(body).map_err(|error| Malformed(error.to_string()))
}

/// Spans.
///
/// # Errors
/// When the body is not what it is said to be.
pub fn traces(encoding: Encoding, body: &[u8]) -> Result<ExportTraceServiceRequest, Malformed> {
    match encoding {
        Encoding::Protobuf => protobuf(body),
        Encoding::Json => json::traces(body),
    }
}

/// Measurements.
///
/// # Errors
/// When the body is not what it is said to be.
pub fn metrics(encoding: Encoding, body: &[u8]) -> Result<ExportMetricsServiceRequest, Malformed> {
    match encoding {
        Encoding::Protobuf => protobuf(body),
        Encoding::Json => json::metrics(body),
    }
}

/// Log records.
///
/// # Errors
/// When the body is not what it is said to be.
pub fn logs(encoding: Encoding, body: &[u8]) -> Result<ExportLogsServiceRequest, Malformed> {
    match encoding {
        Encoding::Protobuf => protobuf(body),
        Encoding::Json => json::logs(body),
    }
}

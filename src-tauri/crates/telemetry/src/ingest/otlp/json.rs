//! OTLP's JSON, as its specification has it and as exporters write it: names in camel case, ids in hex, 64-bit integers
//! as texts or numbers, enums as numbers or by name, null for what is not there, unknown fields passed over.
//!
//! The messages' own serde implementation wants integers as texts alone; hence this. Only the fields that are of use
//! here are read.

use std::fmt;

use opentelemetry_proto::tonic as proto;
use proto::collector::logs::v1::ExportLogsServiceRequest;
use proto::collector::metrics::v1::ExportMetricsServiceRequest;
use proto::collector::trace::v1::ExportTraceServiceRequest;
use proto::common::v1::any_value::Value as Kind;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use super::decode::Malformed;

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    // Serde would take a list for a message, field by field.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed("it is no JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Malformed(error.to_string()))
}

pub(super) fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, Malformed> {
    let told: Traces = parse(body)?;
    Ok(ExportTraceServiceRequest {
        resource_spans: told.resource_spans.into_iter().map(Into::into).collect(),
    })
}

pub(super) fn metrics(body: &[u8]) -> Result<ExportMetricsServiceRequest, Malformed> {
    let told: Metrics = parse(body)?;
    Ok(ExportMetricsServiceRequest {
        resource_metrics: told.resource_metrics.into_iter().map(Into::into).collect(),
    })
}

pub(super) fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, Malformed> {
    let told: Logs = parse(body)?;
    Ok(ExportLogsServiceRequest {
        resource_logs: told.resource_logs.into_iter().map(Into::into).collect(),
    })
}

/// `null` is what is not there.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

macro_rules! message {
    ($name:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct $name {
            $(#[serde(deserialize_with = "or_default")] $field: $type,)*
        }
    };
}

message!(Traces { resource_spans: Vec<ResourceSpans>, });
message!(ResourceSpans { resource: Resource, scope_spans: Vec<ScopeSpans>, });
message!(ScopeSpans { scope: Scope, spans: Vec<Span>, });
message!(Span {
    trace_id: Hex,
    span_id: Hex,
    parent_span_id: Hex,
    name: String,
    kind: SpanKind,
    start_time_unix_nano: Whole,
    end_time_unix_nano: Whole,
    attributes: Vec<KeyValue>,
    events: Vec<SpanEvent>,
    status: Status,
});
message!(SpanEvent { time_unix_nano: Whole, name: String, attributes: Vec<KeyValue>, });
message!(Status {
    code: StatusCode,
    message: String,
});
message!(Resource { attributes: Vec<KeyValue>, });
message!(Scope {
    name: String,
    version: String,
});
message!(KeyValue { key: String, value: Option<AnyValue>, });
message!(AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Signed>,
    double_value: Option<Double>,
    array_value: Option<Box<ArrayValue>>,
    kvlist_value: Option<Box<KeyValueList>>,
    bytes_value: Option<String>,
});
message!(ArrayValue { values: Vec<AnyValue>, });
message!(KeyValueList { values: Vec<KeyValue>, });
message!(Logs { resource_logs: Vec<ResourceLogs>, });
message!(ResourceLogs { resource: Resource, scope_logs: Vec<ScopeLogs>, });
message!(ScopeLogs { scope: Scope, log_records: Vec<LogRecord>, });
message!(LogRecord {
    time_unix_nano: Whole,
    observed_time_unix_nano: Whole,
    severity_number: Severity,
    severity_text: String,
    body: Option<AnyValue>,
    attributes: Vec<KeyValue>,
    trace_id: Hex,
    span_id: Hex,
    event_name: String,
});
message!(Metrics { resource_metrics: Vec<ResourceMetrics>, });
message!(ResourceMetrics { resource: Resource, scope_metrics: Vec<ScopeMetrics>, });
message!(ScopeMetrics { scope: Scope, metrics: Vec<Metric>, });
message!(Metric {
    name: String,
    description: String,
    unit: String,
    gauge: Option<Gauge>,
    sum: Option<Sum>,
    histogram: Option<Histogram>,
    exponential_histogram: Option<Exponential>,
    summary: Option<Summary>,
});
message!(Gauge { data_points: Vec<NumberPoint>, });
message!(Sum { data_points: Vec<NumberPoint>, aggregation_temporality: Temporality, is_monotonic: bool, });
message!(Histogram { data_points: Vec<HistogramPoint>, aggregation_temporality: Temporality, });
message!(Exponential { data_points: Vec<ExponentialPoint>, aggregation_temporality: Temporality, });
message!(Summary { data_points: Vec<SummaryPoint>, });
message!(NumberPoint {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    as_double: Option<Double>,
    as_int: Option<Signed>,
    flags: Whole,
});
message!(HistogramPoint {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    count: Whole,
    sum: Option<Double>,
    bucket_counts: Vec<Whole>,
    explicit_bounds: Vec<Double>,
    flags: Whole,
});
message!(ExponentialPoint {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    count: Whole,
    sum: Option<Double>,
    flags: Whole,
});
message!(SummaryPoint {
    attributes: Vec<KeyValue>,
    time_unix_nano: Whole,
    count: Whole,
    sum: Double,
    quantile_values: Vec<Quantile>,
    flags: Whole,
});
message!(Quantile {
    quantile: Double,
    value: Double,
});

/// A scalar that is written in more than one way.
macro_rules! scalar {
    ($name:ident($inner:ty), $expecting:literal, $($method:ident($arg:ty) => $read:expr,)*) => {
        #[derive(Default, Clone)]
        struct $name($inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl Visitor<'_> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    $(fn $method<E: serde::de::Error>(self, told: $arg) -> Result<$name, E> {
                        let read: fn($arg) -> Option<$inner> = $read;
                        read(told)
                            .map($name)
                            .ok_or_else(|| E::custom(concat!("not ", $expecting)))
                    })*
                }

                deserializer.deserialize_any(Reader)
            }
        }
    };
}

scalar!(Whole(u64), "a whole number, as a number or a text",
    visit_u64(u64) => Some,
    visit_i64(i64) => |told| told.try_into().ok(),
    visit_f64(f64) => |told| (told.fract() == 0.0 && (0.0..1.8e19).contains(&told)).then_some(told as u64),
    visit_str(&str) => |told| told.trim().parse().ok(),
);
scalar!(Signed(i64), "an integer, as a number or a text",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_i64(i64) => Some,
    visit_f64(f64) => |told| (told.fract() == 0.0 && told.abs() < 9.2e18).then_some(told as i64),
    visit_str(&str) => |told| told.trim().parse().ok(),
);
scalar!(Double(f64), "a number",
    visit_u64(u64) => |told| Some(told as f64),
    visit_i64(i64) => |told| Some(told as f64),
    visit_f64(f64) => Some,
    // Among them "NaN", "Infinity" and "-Infinity".
    visit_str(&str) => |told| told.trim().parse().ok(),
);
// An id that is none is refused with its span, not with the whole body.
scalar!(Hex(Vec<u8>), "an id in hex",
    visit_str(&str) => |told| Some(hex(told).unwrap_or_default()),
);
scalar!(SpanKind(i32), "a span kind",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| proto::trace::v1::span::SpanKind::from_str_name(told).map(|kind| kind as i32),
);
scalar!(StatusCode(i32), "a status code",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| proto::trace::v1::status::StatusCode::from_str_name(told).map(|code| code as i32),
);
scalar!(Severity(i32), "a severity number",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| proto::logs::v1::SeverityNumber::from_str_name(told).map(|number| number as i32),
);
scalar!(Temporality(i32), "an aggregation temporality",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| {
        proto::metrics::v1::AggregationTemporality::from_str_name(told).map(|temporality| temporality as i32)
    },
);

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

fn each<T, U: From<T>>(all: Vec<T>) -> Vec<U> {
    all.into_iter().map(Into::into).collect()
}

fn wholes(all: Vec<Whole>) -> Vec<u64> {
    all.into_iter().map(|one| one.0).collect()
}

fn flags(told: &Whole) -> u32 {
    u32::try_from(told.0).unwrap_or(0)
}

impl From<AnyValue> for proto::common::v1::AnyValue {
    fn from(told: AnyValue) -> Self {
        let value = if let Some(text) = told.string_value.or(told.bytes_value) {
            Some(Kind::StringValue(text))
        } else if let Some(flag) = told.bool_value {
            Some(Kind::BoolValue(flag))
        } else if let Some(Signed(number)) = told.int_value {
            Some(Kind::IntValue(number))
        } else if let Some(Double(number)) = told.double_value {
            Some(Kind::DoubleValue(number))
        } else if let Some(array) = told.array_value {
            let values = each(array.values);
            Some(Kind::ArrayValue(proto::common::v1::ArrayValue { values }))
        } else if let Some(list) = told.kvlist_value {
            let values = each(list.values);
            Some(Kind::KvlistValue(proto::common::v1::KeyValueList {
                values,
            }))
        } else {
            None
        };
        Self { value }
    }
}

impl From<KeyValue> for proto::common::v1::KeyValue {
    fn from(told: KeyValue) -> Self {
        Self {
            key: told.key,
            value: told.value.map(Into::into),
            ..Self::default()
        }
    }
}

impl From<Resource> for proto::resource::v1::Resource {
    fn from(told: Resource) -> Self {
        Self {
            attributes: each(told.attributes),
            ..Self::default()
        }
    }
}

impl From<Scope> for proto::common::v1::InstrumentationScope {
    fn from(told: Scope) -> Self {
        Self {
            name: told.name,
            version: told.version,
            ..Self::default()
        }
    }
}

impl From<ResourceSpans> for proto::trace::v1::ResourceSpans {
    fn from(told: ResourceSpans) -> Self {
        Self {
            resource: Some(told.resource.into()),
            scope_spans: each(told.scope_spans),
            ..Self::default()
        }
    }
}

impl From<ScopeSpans> for proto::trace::v1::ScopeSpans {
    fn from(told: ScopeSpans) -> Self {
        Self {
            scope: Some(told.scope.into()),
            spans: each(told.spans),
            ..Self::default()
        }
    }
}

impl From<Span> for proto::trace::v1::Span {
    fn from(told: Span) -> Self {
        Self {
            trace_id: told.trace_id.0,
            span_id: told.span_id.0,
            parent_span_id: told.parent_span_id.0,
            name: told.name,
            kind: told.kind.0,
            start_time_unix_nano: told.start_time_unix_nano.0,
            end_time_unix_nano: told.end_time_unix_nano.0,
            attributes: each(told.attributes),
            events: each(told.events),
            status: Some(proto::trace::v1::Status {
                code: told.status.code.0,
                message: told.status.message,
            }),
            ..Self::default()
        }
    }
}

impl From<SpanEvent> for proto::trace::v1::span::Event {
    fn from(told: SpanEvent) -> Self {
        Self {
            time_unix_nano: told.time_unix_nano.0,
            name: told.name,
            attributes: each(told.attributes),
            ..Self::default()
        }
    }
}

impl From<ResourceLogs> for proto::logs::v1::ResourceLogs {
    fn from(told: ResourceLogs) -> Self {
        Self {
            resource: Some(told.resource.into()),
            scope_logs: each(told.scope_logs),
            ..Self::default()
        }
    }
}

impl From<ScopeLogs> for proto::logs::v1::ScopeLogs {
    fn from(told: ScopeLogs) -> Self {
        Self {
            scope: Some(told.scope.into()),
            log_records: each(told.log_records),
            ..Self::default()
        }
    }
}

impl From<LogRecord> for proto::logs::v1::LogRecord {
    fn from(told: LogRecord) -> Self {
        Self {
            time_unix_nano: told.time_unix_nano.0,
            observed_time_unix_nano: told.observed_time_unix_nano.0,
            severity_number: told.severity_number.0,
            severity_text: told.severity_text,
            body: told.body.map(Into::into),
            attributes: each(told.attributes),
            trace_id: told.trace_id.0,
            span_id: told.span_id.0,
            event_name: told.event_name,
            ..Self::default()
        }
    }
}

impl From<ResourceMetrics> for proto::metrics::v1::ResourceMetrics {
    fn from(told: ResourceMetrics) -> Self {
        Self {
            resource: Some(told.resource.into()),
            scope_metrics: each(told.scope_metrics),
            ..Self::default()
        }
    }
}

impl From<ScopeMetrics> for proto::metrics::v1::ScopeMetrics {
    fn from(told: ScopeMetrics) -> Self {
        Self {
            scope: Some(told.scope.into()),
            metrics: each(told.metrics),
            ..Self::default()
        }
    }
}

impl From<Metric> for proto::metrics::v1::Metric {
    fn from(told: Metric) -> Self {
        use proto::metrics::v1::metric::Data;
        let data = if let Some(gauge) = told.gauge {
            Some(Data::Gauge(proto::metrics::v1::Gauge {
                data_points: each(gauge.data_points),
            }))
        } else if let Some(sum) = told.sum {
            Some(Data::Sum(proto::metrics::v1::Sum {
                data_points: each(sum.data_points),
                aggregation_temporality: sum.aggregation_temporality.0,
                is_monotonic: sum.is_monotonic,
            }))
        } else if let Some(histogram) = told.histogram {
            Some(Data::Histogram(proto::metrics::v1::Histogram {
                data_points: each(histogram.data_points),
                aggregation_temporality: histogram.aggregation_temporality.0,
            }))
        } else if let Some(histogram) = told.exponential_histogram {
            Some(Data::ExponentialHistogram(
                proto::metrics::v1::ExponentialHistogram {
                    data_points: each(histogram.data_points),
                    aggregation_temporality: histogram.aggregation_temporality.0,
                },
            ))
        } else {
            told.summary.map(|summary| {
                Data::Summary(proto::metrics::v1::Summary {
                    data_points: each(summary.data_points),
                })
            })
        };
        Self {
            name: told.name,
            description: told.description,
            unit: told.unit,
            data,
            ..Self::default()
        }
    }
}

impl From<NumberPoint> for proto::metrics::v1::NumberDataPoint {
    fn from(told: NumberPoint) -> Self {
        use proto::metrics::v1::number_data_point::Value;
        let double = told.as_double.map(|number| Value::AsDouble(number.0));
        Self {
            attributes: each(told.attributes),
            start_time_unix_nano: told.start_time_unix_nano.0,
            time_unix_nano: told.time_unix_nano.0,
            flags: flags(&told.flags),
            value: double.or(told.as_int.map(|number| Value::AsInt(number.0))),
            ..Self::default()
        }
    }
}

impl From<HistogramPoint> for proto::metrics::v1::HistogramDataPoint {
    fn from(told: HistogramPoint) -> Self {
        Self {
            attributes: each(told.attributes),
            start_time_unix_nano: told.start_time_unix_nano.0,
            time_unix_nano: told.time_unix_nano.0,
            count: told.count.0,
            sum: told.sum.map(|sum| sum.0),
            bucket_counts: wholes(told.bucket_counts),
            explicit_bounds: told
                .explicit_bounds
                .into_iter()
                .map(|bound| bound.0)
                .collect(),
            flags: flags(&told.flags),
            ..Self::default()
        }
    }
}

impl From<ExponentialPoint> for proto::metrics::v1::ExponentialHistogramDataPoint {
    fn from(told: ExponentialPoint) -> Self {
        Self {
            attributes: each(told.attributes),
            start_time_unix_nano: told.start_time_unix_nano.0,
            time_unix_nano: told.time_unix_nano.0,
            count: told.count.0,
            sum: told.sum.map(|sum| sum.0),
            flags: flags(&told.flags),
            ..Self::default()
        }
    }
}

impl From<SummaryPoint> for proto::metrics::v1::SummaryDataPoint {
    fn from(told: SummaryPoint) -> Self {
        let quantiles = told.quantile_values.into_iter();
        Self {
            attributes: each(told.attributes),
            time_unix_nano: told.time_unix_nano.0,
            count: told.count.0,
            sum: told.sum.0,
            quantile_values: quantiles
                .map(
                    |one| proto::metrics::v1::summary_data_point::ValueAtQuantile {
                        quantile: one.quantile.0,
                        value: one.value.0,
                    },
                )
                .collect(),
            flags: flags(&told.flags),
            ..Self::default()
        }
    }
}

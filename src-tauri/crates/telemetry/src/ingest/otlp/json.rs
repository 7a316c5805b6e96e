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
use proto::common::v1 as common;
use proto::logs::v1 as logs;
use proto::metrics::v1 as metrics;
use proto::trace::v1 as trace;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use super::decode::Malformed;

fn parse<T: DeserializeOwned + Becomes<U>, U>(body: &[u8]) -> Result<U, Malformed> {
    // Serde would take a list for a message, field by field.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Malformed("it is no JSON object".to_owned()));
    }
    let told: Result<T, _> = serde_json::from_slice(body);
    told.map(Becomes::becomes)
        .map_err(|error| Malformed(error.to_string()))
}

pub(super) fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, Malformed> {
    parse::<Traces, _>(body)
}

pub(super) fn metrics(body: &[u8]) -> Result<ExportMetricsServiceRequest, Malformed> {
    parse::<Metrics, _>(body)
}

pub(super) fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, Malformed> {
    parse::<Logs, _>(body)
}

/// What is told in JSON, as the message that it is.
trait Becomes<T> {
    fn becomes(self) -> T;
}

impl Becomes<String> for String {
    fn becomes(self) -> String {
        self
    }
}

impl Becomes<bool> for bool {
    fn becomes(self) -> bool {
        self
    }
}

impl<T: Becomes<U>, U> Becomes<Vec<U>> for Vec<T> {
    fn becomes(self) -> Vec<U> {
        self.into_iter().map(Becomes::becomes).collect()
    }
}

impl<T: Becomes<U>, U> Becomes<Option<U>> for Option<T> {
    fn becomes(self) -> Option<U> {
        self.map(Becomes::becomes)
    }
}

/// `null` is what is not there.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A message as it is told, and the one that it becomes: field by field, unless that is said apart.
macro_rules! message {
    ($name:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct $name {
            $(#[serde(deserialize_with = "or_default")] $field: $type,)*
        }
    };
    ($name:ident => $message:path { $($field:ident: $type:ty,)* }) => {
        message!($name { $($field: $type,)* });

        impl Becomes<$message> for $name {
            #[allow(clippy::needless_update, reason = "some messages have nothing else")]
            fn becomes(self) -> $message {
                $message {
                    $($field: self.$field.becomes(),)*
                    ..Default::default()
                }
            }
        }

        impl Becomes<Option<$message>> for $name {
            fn becomes(self) -> Option<$message> {
                Some(self.becomes())
            }
        }
    };
}

message!(Traces => ExportTraceServiceRequest { resource_spans: Vec<ResourceSpans>, });
message!(ResourceSpans => trace::ResourceSpans { resource: Resource, scope_spans: Vec<ScopeSpans>, });
message!(ScopeSpans => trace::ScopeSpans { scope: Scope, spans: Vec<Span>, });
message!(Span => trace::Span {
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
message!(SpanEvent => trace::span::Event { time_unix_nano: Whole, name: String, attributes: Vec<KeyValue>, });
message!(Status => trace::Status {
    code: StatusCode,
    message: String,
});
message!(Resource => proto::resource::v1::Resource { attributes: Vec<KeyValue>, });
message!(Scope => common::InstrumentationScope {
    name: String,
    version: String,
});
message!(KeyValue => common::KeyValue { key: String, value: Option<AnyValue>, });
message!(AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Signed>,
    double_value: Option<Double>,
    array_value: Option<Box<ArrayValue>>,
    kvlist_value: Option<Box<KeyValueList>>,
    bytes_value: Option<String>,
});
message!(ArrayValue => common::ArrayValue { values: Vec<AnyValue>, });
message!(KeyValueList => common::KeyValueList { values: Vec<KeyValue>, });
message!(Logs => ExportLogsServiceRequest { resource_logs: Vec<ResourceLogs>, });
message!(ResourceLogs => logs::ResourceLogs { resource: Resource, scope_logs: Vec<ScopeLogs>, });
message!(ScopeLogs => logs::ScopeLogs { scope: Scope, log_records: Vec<LogRecord>, });
message!(LogRecord => logs::LogRecord {
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
message!(Metrics => ExportMetricsServiceRequest { resource_metrics: Vec<ResourceMetrics>, });
message!(ResourceMetrics => metrics::ResourceMetrics { resource: Resource, scope_metrics: Vec<ScopeMetrics>, });
message!(ScopeMetrics => metrics::ScopeMetrics { scope: Scope, metrics: Vec<Metric>, });
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
message!(Gauge => metrics::Gauge { data_points: Vec<NumberPoint>, });
message!(Sum => metrics::Sum { data_points: Vec<NumberPoint>, aggregation_temporality: Temporality, is_monotonic: bool, });
message!(Histogram => metrics::Histogram { data_points: Vec<HistogramPoint>, aggregation_temporality: Temporality, });
message!(Exponential => metrics::ExponentialHistogram { data_points: Vec<ExponentialPoint>, aggregation_temporality: Temporality, });
message!(Summary => metrics::Summary { data_points: Vec<SummaryPoint>, });
message!(NumberPoint {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    as_double: Option<Double>,
    as_int: Option<Signed>,
    flags: Whole,
});
message!(HistogramPoint => metrics::HistogramDataPoint {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    count: Whole,
    sum: Option<Double>,
    bucket_counts: Vec<Whole>,
    explicit_bounds: Vec<Double>,
    flags: Whole,
});
message!(ExponentialPoint => metrics::ExponentialHistogramDataPoint {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Whole,
    time_unix_nano: Whole,
    count: Whole,
    sum: Option<Double>,
    flags: Whole,
});
message!(SummaryPoint => metrics::SummaryDataPoint {
    attributes: Vec<KeyValue>,
    time_unix_nano: Whole,
    count: Whole,
    sum: Double,
    quantile_values: Vec<Quantile>,
    flags: Whole,
});
message!(Quantile => metrics::summary_data_point::ValueAtQuantile {
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

        impl Becomes<$inner> for $name {
            fn becomes(self) -> $inner {
                self.0
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
    visit_str(&str) => |told| trace::span::SpanKind::from_str_name(told).map(|kind| kind as i32),
);
scalar!(StatusCode(i32), "a status code",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| trace::status::StatusCode::from_str_name(told).map(|code| code as i32),
);
scalar!(Severity(i32), "a severity number",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| logs::SeverityNumber::from_str_name(told).map(|number| number as i32),
);
scalar!(Temporality(i32), "an aggregation temporality",
    visit_u64(u64) => |told| told.try_into().ok(),
    visit_str(&str) => |told| {
        metrics::AggregationTemporality::from_str_name(told).map(|temporality| temporality as i32)
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

/// Flags of more bits than there are say nothing.
impl Becomes<u32> for Whole {
    fn becomes(self) -> u32 {
        u32::try_from(self.0).unwrap_or(0)
    }
}

impl Becomes<common::AnyValue> for AnyValue {
    fn becomes(self) -> common::AnyValue {
        use common::any_value::Value;
        let value = if let Some(text) = self.string_value.or(self.bytes_value) {
            Some(Value::StringValue(text))
        } else if let Some(flag) = self.bool_value {
            Some(Value::BoolValue(flag))
        } else if let Some(number) = self.int_value {
            Some(Value::IntValue(number.becomes()))
        } else if let Some(number) = self.double_value {
            Some(Value::DoubleValue(number.becomes()))
        } else if let Some(array) = self.array_value {
            Some(Value::ArrayValue((*array).becomes()))
        } else {
            let list = self.kvlist_value;
            list.map(|list| Value::KvlistValue((*list).becomes()))
        };
        common::AnyValue { value }
    }
}

impl Becomes<metrics::Metric> for Metric {
    fn becomes(self) -> metrics::Metric {
        use metrics::metric::Data;
        let data = if let Some(gauge) = self.gauge {
            Some(Data::Gauge(gauge.becomes()))
        } else if let Some(sum) = self.sum {
            Some(Data::Sum(sum.becomes()))
        } else if let Some(histogram) = self.histogram {
            Some(Data::Histogram(histogram.becomes()))
        } else if let Some(histogram) = self.exponential_histogram {
            Some(Data::ExponentialHistogram(histogram.becomes()))
        } else {
            self.summary.map(|summary| Data::Summary(summary.becomes()))
        };
        metrics::Metric {
            name: self.name,
            description: self.description,
            unit: self.unit,
            data,
            ..Default::default()
        }
    }
}

impl Becomes<metrics::NumberDataPoint> for NumberPoint {
    fn becomes(self) -> metrics::NumberDataPoint {
        use metrics::number_data_point::Value;
        let double = self.as_double.map(|number| Value::AsDouble(number.0));
        metrics::NumberDataPoint {
            attributes: self.attributes.becomes(),
            start_time_unix_nano: self.start_time_unix_nano.becomes(),
            time_unix_nano: self.time_unix_nano.becomes(),
            flags: self.flags.becomes(),
            value: double.or(self.as_int.map(|number| Value::AsInt(number.0))),
            ..Default::default()
        }
    }
}

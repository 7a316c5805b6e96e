//! Measurements: the last value of each series, for whoever scrapes us.
//!
//! They are the present, not the past: kept in memory, within bounds, and let go of when nothing was heard of them for
//! [`STALE`]. Exporters send sums since their start over and over, so nothing is lost by a restart; sums since the last
//! export are added up here. `gen_ai.*` are aggregates of the calls that spans report one by one: taken, and not kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};

use super::Refused;
use super::attributes::Attributes;
use super::exposition::{self, labels};

/// Series that are kept.
pub(super) const MOST: usize = 2000;
/// Buckets of one.
const MOST_BUCKETS: usize = 64;
/// A series that nothing was heard of for so long is let go of.
pub(super) const STALE: Duration = Duration::from_secs(300);
/// OpenTelemetry's number for sums since the last export.
const DELTA: i32 = 1;
/// A point's flag: nothing was measured.
const NO_VALUE: u32 = 1;

/// The last value of each series. Pure: the time is passed in.
#[derive(Debug, Default)]
pub struct Series {
    pub(super) families: BTreeMap<String, Family>,
    count: usize,
}

#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) help: String,
    /// By their labels, as they are written out.
    pub(super) rows: BTreeMap<String, Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) value: Value,
    /// The reporter's time of it.
    at: u64,
    /// When it was heard of.
    heard: Instant,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    One(f64),
    Spread {
        /// Upper bounds and how many are below each, in all.
        buckets: Vec<(f64, u64)>,
        sum: Option<f64>,
        count: u64,
    },
    Quantiles {
        at: Vec<(f64, f64)>,
        sum: f64,
        count: u64,
    },
}

/// A point on its way into its series.
struct Point<'a> {
    attributes: &'a [KeyValue],
    at: u64,
    delta: bool,
    /// `None`: nothing was measured.
    value: Option<Value>,
}

impl Series {
    /// Takes the points of a request; answers those that are not kept.
    pub fn take(&mut self, request: &ExportMetricsServiceRequest, now: Instant) -> Refused {
        self.forget(now);
        let mut refused = Refused::default();
        for resource in &request.resource_metrics {
            let about = resource.resource.as_ref();
            let about = Attributes(about.map_or(&[], |about| &about.attributes));
            for scope in &resource.scope_metrics {
                let scope_name = scope.scope.as_ref().map_or("", |scope| scope.name.as_str());
                for metric in &scope.metrics {
                    if metric.name.starts_with("gen_ai.") {
                        continue;
                    }
                    self.metric(metric, about, scope_name, now, &mut refused);
                }
            }
        }
        refused
    }

    /// The series in Prometheus' text exposition format.
    pub fn exposition(&mut self, now: Instant) -> String {
        self.forget(now);
        exposition::write(&self.families)
    }

    fn metric(
        &mut self,
        metric: &Metric,
        about: Attributes<'_>,
        scope: &str,
        now: Instant,
        refused: &mut Refused,
    ) {
        let (kind, points) = match &metric.data {
            Some(Data::Gauge(gauge)) => (Kind::Gauge, numbers(&gauge.data_points, false)),
            Some(Data::Sum(sum)) => {
                let kind = if sum.is_monotonic {
                    Kind::Counter
                } else {
                    Kind::Gauge
                };
                (
                    kind,
                    numbers(&sum.data_points, sum.aggregation_temporality == DELTA),
                )
            }
            Some(Data::Histogram(histogram)) => {
                let delta = histogram.aggregation_temporality == DELTA;
                let points = histogram
                    .data_points
                    .iter()
                    .map(|point| spread(point, delta));
                (Kind::Histogram, points.collect())
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                // Its buckets have no like in the text format; how many and how much in all has.
                let points = histogram.data_points.iter().map(|point| Point {
                    attributes: &point.attributes,
                    at: point.time_unix_nano,
                    delta: histogram.aggregation_temporality == DELTA,
                    value: (point.flags & NO_VALUE == 0).then(|| Value::Spread {
                        buckets: Vec::new(),
                        sum: point.sum,
                        count: point.count,
                    }),
                });
                (Kind::Histogram, points.collect())
            }
            Some(Data::Summary(summary)) => {
                let points = summary.data_points.iter().map(|point| Point {
                    attributes: &point.attributes,
                    at: point.time_unix_nano,
                    delta: false,
                    value: (point.flags & NO_VALUE == 0).then(|| Value::Quantiles {
                        at: point
                            .quantile_values
                            .iter()
                            .take(MOST_BUCKETS)
                            .map(|one| (one.quantile, one.value))
                            .collect(),
                        sum: point.sum,
                        count: point.count,
                    }),
                });
                (Kind::Summary, points.collect())
            }
            None => return,
        };
        let name = exposition::name(&metric.name, &metric.unit, kind);
        // Names that differ only in their dots are one to Prometheus: those are our own there.
        if name.is_empty() || name.starts_with("cockpit_") || name.starts_with("gen_ai_") {
            for _ in &points {
                refused.push(
                    "names that begin with cockpit_ or gen_ai_ are our own: give the metric another",
                );
            }
            return;
        }
        for point in points {
            if let Err(reason) = self.point(&name, kind, metric, point, about, scope, now) {
                refused.push(reason);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each says another thing of one point"
    )]
    fn point(
        &mut self,
        name: &str,
        kind: Kind,
        metric: &Metric,
        point: Point<'_>,
        about: Attributes<'_>,
        scope: &str,
        now: Instant,
    ) -> Result<(), String> {
        let labels = labels(Attributes(point.attributes), about, scope);
        let known = self.families.get_mut(name);
        if let Some(family) = &known
            && family.kind != kind
        {
            return Err(format!(
                "{name} is measured as two kinds: give one of them another name"
            ));
        }
        let Some(value) = point.value else {
            if let Some(family) = known
                && family.rows.remove(&labels).is_some()
            {
                self.count -= 1;
            }
            return Ok(());
        };
        if let Some(family) = known
            && let Some(row) = family.rows.get_mut(&labels)
        {
            row.heard = now;
            // Sent again, or overtaken: it is in already.
            if point.at > row.at || point.at == 0 {
                row.at = point.at;
                row.value = if point.delta {
                    row.value.plus(value)
                } else {
                    value
                };
            }
            return Ok(());
        }
        if self.count >= MOST {
            return Err(format!(
                "more than {MOST} series of metrics are not kept: use fewer attributes"
            ));
        }
        self.count += 1;
        let family = self
            .families
            .entry(name.to_owned())
            .or_insert_with(|| Family {
                kind,
                help: if metric.description.is_empty() {
                    format!(
                        "As {} reported it.",
                        metric.name.chars().take(200).collect::<String>()
                    )
                } else {
                    metric.description.chars().take(500).collect()
                },
                rows: BTreeMap::new(),
            });
        let row = Row {
            value,
            at: point.at,
            heard: now,
        };
        family.rows.insert(labels, row);
        Ok(())
    }

    fn forget(&mut self, now: Instant) {
        for family in self.families.values_mut() {
            family
                .rows
                .retain(|_, row| now.saturating_duration_since(row.heard) < STALE);
        }
        self.families.retain(|_, family| !family.rows.is_empty());
        self.count = self.families.values().map(|family| family.rows.len()).sum();
    }
}

impl Value {
    /// What came since the last export, added; where the buckets are others, the new ones begin anew.
    fn plus(&self, more: Self) -> Self {
        match (self, more) {
            (Self::One(before), Self::One(more)) => Self::One(before + more),
            (
                Self::Spread {
                    buckets,
                    sum,
                    count,
                },
                Self::Spread {
                    buckets: more_buckets,
                    sum: more_sum,
                    count: more_count,
                },
            ) => {
                let same = buckets.len() == more_buckets.len()
                    && buckets
                        .iter()
                        .zip(&more_buckets)
                        .all(|(a, b)| a.0.total_cmp(&b.0).is_eq());
                if !same {
                    return Self::Spread {
                        buckets: more_buckets,
                        sum: more_sum,
                        count: more_count,
                    };
                }
                let added = buckets.iter().zip(more_buckets);
                Self::Spread {
                    buckets: added.map(|(a, b)| (a.0, a.1.saturating_add(b.1))).collect(),
                    sum: sum.zip(more_sum).map(|(a, b)| a + b),
                    count: count.saturating_add(more_count),
                }
            }
            (_, more) => more,
        }
    }
}

fn numbers(points: &[NumberDataPoint], delta: bool) -> Vec<Point<'_>> {
    let measured = |point: &NumberDataPoint| {
        let value = point.value.filter(|_| point.flags & NO_VALUE == 0)?;
        Some(Value::One(match value {
            Number::AsDouble(number) => number,
            Number::AsInt(number) => number as f64,
        }))
    };
    let points = points.iter().map(|point| Point {
        attributes: &point.attributes,
        at: point.time_unix_nano,
        delta,
        value: measured(point),
    });
    points.collect()
}

fn spread(point: &HistogramDataPoint, delta: bool) -> Point<'_> {
    let mut below = 0_u64;
    let buckets = point.explicit_bounds.iter().zip(&point.bucket_counts);
    let buckets = buckets.take(MOST_BUCKETS).map(|(bound, count)| {
        below = below.saturating_add(*count);
        (*bound, below)
    });
    let buckets = buckets.collect();
    Point {
        attributes: &point.attributes,
        at: point.time_unix_nano,
        delta,
        value: (point.flags & NO_VALUE == 0).then_some(Value::Spread {
            buckets,
            sum: point.sum,
            count: point.count,
        }),
    }
}

//! The Prometheus text, read back by the format's own rules.

use std::collections::{BTreeMap, BTreeSet};

use cockpit_model::GatewayView;

use super::{Entry, fake, sample};
use crate::Counted;
use crate::metrics::{Source, encode};

/// `name{labels}` → value; panics on what the format does not allow.
fn read(text: &str) -> BTreeMap<String, f64> {
    let mut typed = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut finished: BTreeSet<String> = BTreeSet::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                typed.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} twice"
            );
            finished.insert(std::mem::replace(&mut current, name.to_owned()));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let name = &line[..end];
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        let part = |of: &str| name.strip_prefix(current.as_str()) == Some(of);
        let kind = &typed[&current];
        let belongs = match kind.as_str() {
            "histogram" => part("_bucket") || part("_sum") || part("_count"),
            "summary" => part("_sum") || part("_count"),
            _ => part(""),
        };
        assert!(belongs, "{name} stands below {current}");
        assert!(!finished.contains(&current));
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert_eq!(
            kind == "counter",
            name.ends_with("_total"),
            "{name} is a {kind}"
        );
        let value = value.parse().unwrap();
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{series} twice"
        );
    }
    assert!(text.ends_with('\n'));
    samples
}

#[tokio::test]
async fn every_figure_is_there_in_base_units() {
    let (fake, _feed) = fake();
    let got = Entry::new(fake).get("/metrics").await;
    assert_eq!(
        got.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let samples = read(&got.text());
    for (series, value) in [
        ("cockpit_build_info{version=\"0.1.0\"}", 1.0),
        (
            "cockpit_service_up{service=\"api\",kind=\"node\",state=\"ready\"}",
            1.0,
        ),
        (
            "cockpit_service_restarts_total{service=\"api\",instance_index=\"0\"}",
            2.0,
        ),
        (
            "cockpit_service_cpu_ratio{service=\"api\",instance_index=\"0\"}",
            0.125,
        ),
        (
            "cockpit_service_memory_bytes{service=\"ollama\",instance_index=\"0\"}",
            1_048_576.0,
        ),
        (
            "cockpit_service_probe_duration_seconds{service=\"api\"}",
            0.0025,
        ),
        ("cockpit_host_cpu_ratio", 0.25),
        ("cockpit_host_cpu_core_ratio{core=\"1\"}", 0.4),
        ("cockpit_host_memory_total_bytes", 64.0),
        ("cockpit_host_memory_pressure{level=\"warning\"}", 1.0),
        ("cockpit_host_memory_pressure{level=\"normal\"}", 0.0),
        (
            "cockpit_host_filesystem_available_bytes{mountpoint=\"/Volumes/A \\\"b\\\"\\\\c\\nd\"}",
            50.0,
        ),
        ("cockpit_host_network_receive_bytes_per_second", 3.0),
        ("cockpit_host_gpu_ratio{gpu=\"M3\"}", 0.05),
        ("cockpit_verdict{state=\"well\"}", 1.0),
        ("cockpit_verdict{state=\"down\"}", 0.0),
        ("cockpit_config_valid", 0.0),
        ("cockpit_services_ready", 2.0),
        ("cockpit_own_memory_bytes", 7.0),
        (
            "gen_ai_client_operation_duration_seconds_bucket{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o\",error_type=\"provider_stream_cut\",le=\"0.16\"}",
            1.0,
        ),
        (
            "gen_ai_client_operation_duration_seconds_bucket{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o\",error_type=\"provider_stream_cut\",le=\"+Inf\"}",
            1.0,
        ),
        (
            "gen_ai_client_operation_time_to_first_chunk_seconds_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o\"}",
            0.02025,
        ),
        (
            "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",gen_ai_request_model=\"gpt-4o\",gen_ai_token_type=\"output\"}",
            68.0,
        ),
        (
            "cockpit_calls_total{provider=\"openai\",model=\"gpt-4o\",source=\"gateway\",outcome=\"error\"}",
            1.0,
        ),
        (
            "cockpit_call_attempts_total{provider=\"openai\",model=\"gpt-4o\"}",
            4.0,
        ),
        (
            "cockpit_call_fallbacks_total{provider=\"openai\",model=\"gpt-4o\"}",
            2.0,
        ),
        ("cockpit_reports_total{type=\"task\",ok=\"true\"}", 1.0),
        (
            "cockpit_gateway_refused_total{code=\"caller_unknown_key\"}",
            3.0,
        ),
        (
            "cockpit_breaker_state{provider=\"openai\",model=\"gpt-4o\",state=\"half_open\"}",
            1.0,
        ),
        ("cockpit_ledger_records_total{result=\"accepted\"}", 2.0),
    ] {
        let found = samples
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in {samples:#?}"));
        assert!(
            (found - value).abs() < 1e-6,
            "{series} is {found}, not {value}"
        );
    }
}

#[test]
fn what_is_not_known_is_left_out_and_never_zero() {
    let mut service = sample::service("api");
    service.instances[0].cpu_percent = None;
    service.instances[0].memory_bytes = None;
    service.probe = None;
    let (counted, gateway) = (Counted::default(), GatewayView::default());
    let source = Source {
        status: &sample::status(),
        services: &[service],
        host: None,
        counted: &counted,
        gateway: &gateway,
        breakers: &[],
    };
    let text = encode(&source);
    read(&text);
    for absent in [
        "cpu_ratio",
        "memory_bytes",
        "probe_duration",
        "host",
        "gen_ai",
        "breaker",
        "budget",
        "gateway_open",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    read(&encode(&Source {
        services: &[],
        ..source
    }));
}

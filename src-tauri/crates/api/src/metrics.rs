//! The figures in Prometheus' text exposition format, version 0.0.4.
//!
//! Names follow its conventions: base units (seconds, bytes, ratios), `_total` on what only grows.
//! What is not known is left out; it is never a zero.

mod exposition;
mod traffic;

use std::borrow::Cow;

use cockpit_model::host::{HostSample, Pressure};
use cockpit_model::verdict::ConfigState;
use cockpit_model::{BreakerView, GatewayView, Instance, Service, Status, VerdictState};

use self::exposition::{Exposition, flag};
use crate::cockpit::Counted;

/// The format's content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the figures are made of.
pub(crate) struct Source<'a> {
    pub(crate) status: &'a Status,
    pub(crate) services: &'a [Service],
    pub(crate) host: Option<&'a HostSample>,
    pub(crate) counted: &'a Counted,
    pub(crate) gateway: &'a GatewayView,
    pub(crate) breakers: &'a [BreakerView],
}

/// Writes all families: the cockpit's own, each service's, requests to models, the machine's.
pub(crate) fn encode(source: &Source<'_>) -> String {
    let mut out = Exposition::default();
    cockpit(&mut out, source.status);
    service_families(&mut out, source.services);
    traffic::traffic(&mut out, source.counted, source.gateway, source.breakers);
    if let Some(host) = source.host {
        machine(&mut out, host);
    }
    out.text()
}

fn cockpit(out: &mut Exposition, status: &Status) {
    out.family("cockpit_build_info", "gauge", "The engine's version.");
    out.sample(
        "cockpit_build_info",
        &[("version", &status.engine.version)],
        1.0,
    );
    out.single(
        "cockpit_start_time_seconds",
        "When the engine started, Unix time.",
        status.engine.started_at.as_millisecond() as f64 / 1000.0,
    );
    let states = [
        (VerdictState::Well, "well"),
        (VerdictState::Busy, "busy"),
        (VerdictState::Degraded, "degraded"),
        (VerdictState::Down, "down"),
        (VerdictState::Unknown, "unknown"),
    ];
    out.samples(
        "cockpit_verdict",
        "gauge",
        "The verdict over all services: 1 for the state it is in.",
        states.map(|(state, word)| ([("state", word)], flag(status.verdict.state == state))),
    );
    out.single(
        "cockpit_config_valid",
        "Whether the configuration file on disk holds.",
        flag(status.config.state == ConfigState::Ok),
    );
    out.single(
        "cockpit_services",
        "Configured services.",
        f64::from(status.services.total),
    );
    out.single(
        "cockpit_services_ready",
        "Services that are ready.",
        f64::from(status.services.ready),
    );
}

fn service_families(out: &mut Exposition, services: &[Service]) {
    let up = services.iter().map(|service| {
        let labels = [
            ("service", service.name.as_str()),
            ("kind", &service.kind),
            ("state", service.state.as_str()),
        ];
        (labels, flag(service.is_ready()))
    });
    out.samples(
        "cockpit_service_up",
        "gauge",
        "Whether the service is ready; its state is a label.",
        up,
    );
    per_instance(
        out,
        services,
        "cockpit_service_restarts_total",
        "counter",
        "Restarts after a crash or a failed liveness probe.",
        |instance| Some(f64::from(instance.restarts)),
    );
    per_instance(
        out,
        services,
        "cockpit_service_cpu_ratio",
        "gauge",
        "CPU of the instance's whole process tree; 1 is one core.",
        |instance| {
            instance
                .cpu_percent
                .map(|percent| f64::from(percent) / 100.0)
        },
    );
    per_instance(
        out,
        services,
        "cockpit_service_memory_bytes",
        "gauge",
        "Resident memory of the instance's whole process tree.",
        |instance| instance.memory_bytes.map(|bytes| bytes as f64),
    );
    per_instance(
        out,
        services,
        "cockpit_service_start_time_seconds",
        "gauge",
        "When the instance's process started, Unix time.",
        |instance| {
            let at = instance.started_at?;
            Some(at.as_millisecond() as f64 / 1000.0)
        },
    );
    let probes = services.iter().filter_map(|service| {
        let latency = service.probe.as_ref()?.latency_ms?;
        Some(([("service", service.name.as_str())], latency / 1000.0))
    });
    out.samples(
        "cockpit_service_probe_duration_seconds",
        "gauge",
        "How long the last readiness probe took.",
        probes,
    );
}

fn per_instance(
    out: &mut Exposition,
    services: &[Service],
    name: &str,
    kind: &str,
    help: &str,
    value: impl Fn(&Instance) -> Option<f64>,
) {
    let samples = services.iter().flat_map(|service| {
        let of = |instance: &Instance| {
            let labels = [
                ("service", Cow::from(&service.name)),
                ("instance_index", Cow::from(instance.index.to_string())),
            ];
            Some((labels, value(instance)?))
        };
        service.instances.iter().filter_map(of)
    });
    out.samples(name, kind, help, samples);
}

fn machine(out: &mut Exposition, host: &HostSample) {
    let ratio = |percent: f32| f64::from(percent) / 100.0;
    out.single(
        "cockpit_host_cpu_ratio",
        "CPU in use over all cores, 0 to 1.",
        ratio(host.cpu.percent),
    );
    let cores = host.cpu.cores.iter().enumerate();
    out.samples(
        "cockpit_host_cpu_core_ratio",
        "gauge",
        "CPU in use of each core, 0 to 1.",
        cores.map(|(core, percent)| ([("core", core.to_string())], ratio(*percent))),
    );
    out.single(
        "cockpit_host_load1",
        "Load average of one minute.",
        host.cpu.load_1m,
    );
    let memory = &host.memory;
    for (name, help, bytes) in [
        (
            "cockpit_host_memory_total_bytes",
            "Installed memory.",
            memory.total_bytes,
        ),
        (
            "cockpit_host_memory_used_bytes",
            "Memory in use, without what can be reclaimed at once.",
            memory.used_bytes,
        ),
        (
            "cockpit_host_memory_available_bytes",
            "Memory available to a new process.",
            memory.free_bytes,
        ),
        (
            "cockpit_host_swap_used_bytes",
            "Swap in use.",
            memory.swap_used_bytes,
        ),
        (
            "cockpit_host_swap_total_bytes",
            "Swap there is.",
            memory.swap_total_bytes,
        ),
    ] {
        out.single(name, help, bytes as f64);
    }
    if let Some(pressure) = memory.pressure {
        let levels = [
            (Pressure::Normal, "normal"),
            (Pressure::Warning, "warning"),
            (Pressure::Critical, "critical"),
        ];
        out.samples(
            "cockpit_host_memory_pressure",
            "gauge",
            "Memory pressure: 1 for the level it is at.",
            levels.map(|(level, word)| ([("level", word)], flag(pressure == level))),
        );
    }
    type DiskValue = fn(&cockpit_model::host::Disk) -> f64;
    let disk_families: [(&str, &str, DiskValue); 2] = [
        (
            "cockpit_host_filesystem_size_bytes",
            "Size of a volume.",
            |disk| disk.total_bytes as f64,
        ),
        (
            "cockpit_host_filesystem_available_bytes",
            "What is available on a volume.",
            |disk| disk.free_bytes as f64,
        ),
    ];
    for (name, help, value) in disk_families {
        let disks = host.disks.iter();
        let disks = disks.map(|disk| ([("mountpoint", &disk.mount)], value(disk)));
        out.samples(name, "gauge", help, disks);
    }
    out.single(
        "cockpit_host_network_receive_bytes_per_second",
        "Received over all interfaces but loopback.",
        host.network.rx_bytes_per_s,
    );
    out.single(
        "cockpit_host_network_transmit_bytes_per_second",
        "Sent over all interfaces but loopback.",
        host.network.tx_bytes_per_s,
    );
    if let Some(gpu) = &host.gpu {
        let labels = [("gpu", gpu.name.as_str())];
        if let Some(percent) = gpu.percent {
            let name = "cockpit_host_gpu_ratio";
            out.family(name, "gauge", "Graphics processor in use, 0 to 1.");
            out.sample(name, &labels, ratio(percent));
        }
        if let Some(bytes) = gpu.memory_used_bytes {
            let name = "cockpit_host_gpu_memory_used_bytes";
            out.family(name, "gauge", "Memory the graphics processor uses.");
            out.sample(name, &labels, bytes as f64);
        }
    }
    out.single(
        "cockpit_own_cpu_ratio",
        "What the cockpit itself costs, engine and shims; 1 is one core.",
        ratio(host.cockpit.cpu_percent),
    );
    out.single(
        "cockpit_own_memory_bytes",
        "What the cockpit itself costs, engine and shims.",
        host.cockpit.memory_bytes as f64,
    );
}

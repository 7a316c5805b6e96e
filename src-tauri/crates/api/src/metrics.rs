//! The figures in Prometheus' text exposition format, version 0.0.4.
//!
//! Names follow its conventions: base units (seconds, bytes, ratios), `_total` on what only grows.
//! What is not known is left out; it is never a zero.

mod exposition;
mod traffic;

use cockpit_model::host::{HostSample, Pressure};
use cockpit_model::verdict::ConfigState;
use cockpit_model::{BreakerView, GatewayView, Service, Status, VerdictState};

use self::exposition::Exposition;
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
    out.family(
        "cockpit_start_time_seconds",
        "gauge",
        "When the engine started, Unix time.",
    );
    let started = status.engine.started_at.as_millisecond() as f64 / 1000.0;
    out.sample("cockpit_start_time_seconds", &[], started);
    out.family(
        "cockpit_verdict",
        "gauge",
        "The verdict over all services: 1 for the state it is in.",
    );
    for (state, word) in [
        (VerdictState::Well, "well"),
        (VerdictState::Busy, "busy"),
        (VerdictState::Degraded, "degraded"),
        (VerdictState::Down, "down"),
        (VerdictState::Unknown, "unknown"),
    ] {
        let is = f64::from(u8::from(status.verdict.state == state));
        out.sample("cockpit_verdict", &[("state", word)], is);
    }
    out.family(
        "cockpit_config_valid",
        "gauge",
        "Whether the configuration file on disk holds.",
    );
    let valid = f64::from(u8::from(status.config.state == ConfigState::Ok));
    out.sample("cockpit_config_valid", &[], valid);
    out.family("cockpit_services", "gauge", "Configured services.");
    out.sample("cockpit_services", &[], f64::from(status.services.total));
    out.family(
        "cockpit_services_ready",
        "gauge",
        "Services that are ready.",
    );
    out.sample(
        "cockpit_services_ready",
        &[],
        f64::from(status.services.ready),
    );
}

fn service_families(out: &mut Exposition, services: &[Service]) {
    if services.is_empty() {
        return;
    }
    out.family(
        "cockpit_service_up",
        "gauge",
        "Whether the service is ready; its state is a label.",
    );
    for service in services {
        let labels = [
            ("service", service.name.as_str()),
            ("kind", &service.kind),
            ("state", service.state.as_str()),
        ];
        let up = f64::from(u8::from(service.is_ready()));
        out.sample("cockpit_service_up", &labels, up);
    }
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
    let mut headed = false;
    for service in services {
        let latency = service.probe.as_ref().and_then(|probe| probe.latency_ms);
        if let Some(latency) = latency {
            let name = "cockpit_service_probe_duration_seconds";
            if !headed {
                out.family(name, "gauge", "How long the last readiness probe took.");
                headed = true;
            }
            out.sample(name, &[("service", &service.name)], latency / 1000.0);
        }
    }
}

fn per_instance(
    out: &mut Exposition,
    services: &[Service],
    name: &str,
    kind: &str,
    help: &str,
    value: impl Fn(&cockpit_model::Instance) -> Option<f64>,
) {
    let mut headed = false;
    for service in services {
        for instance in &service.instances {
            let Some(value) = value(instance) else {
                continue;
            };
            if !headed {
                out.family(name, kind, help);
                headed = true;
            }
            let index = instance.index.to_string();
            let labels = [
                ("service", service.name.as_str()),
                ("instance_index", &index),
            ];
            out.sample(name, &labels, value);
        }
    }
}

fn machine(out: &mut Exposition, host: &HostSample) {
    let ratio = |percent: f32| f64::from(percent) / 100.0;
    out.single(
        "cockpit_host_cpu_ratio",
        "CPU in use over all cores, 0 to 1.",
        ratio(host.cpu.percent),
    );
    if !host.cpu.cores.is_empty() {
        let name = "cockpit_host_cpu_core_ratio";
        out.family(name, "gauge", "CPU in use of each core, 0 to 1.");
        for (core, percent) in host.cpu.cores.iter().enumerate() {
            out.sample(name, &[("core", &core.to_string())], ratio(*percent));
        }
    }
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
        let name = "cockpit_host_memory_pressure";
        out.family(name, "gauge", "Memory pressure: 1 for the level it is at.");
        for (level, word) in [
            (Pressure::Normal, "normal"),
            (Pressure::Warning, "warning"),
            (Pressure::Critical, "critical"),
        ] {
            let is = f64::from(u8::from(pressure == level));
            out.sample(name, &[("level", word)], is);
        }
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
        if !host.disks.is_empty() {
            out.family(name, "gauge", help);
        }
        for disk in &host.disks {
            out.sample(name, &[("mountpoint", &disk.mount)], value(disk));
        }
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

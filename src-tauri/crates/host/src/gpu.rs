//! The graphics processor, where it can be read without root: Apple silicon through the I/O
//! registry, AMD through `/sys`, NVIDIA through its management library.

use std::time::Duration;

use cockpit_model::host::Gpu;
use sysinfo::Gpus;

/// The registry is cheap to ask; the management library is loaded anew for each question.
const EVERY: Duration = if cfg!(target_os = "macos") {
    Duration::from_secs(2)
} else {
    Duration::from_secs(10)
};

#[derive(Debug)]
pub(crate) struct GpuReader {
    gpus: Option<GpusBox>,
    since: Duration,
    last: Option<Gpu>,
}

/// `Gpus` has no `Debug`.
struct GpusBox(Gpus);

impl std::fmt::Debug for GpusBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(sysinfo::Gpu::model))
            .finish()
    }
}

impl GpuReader {
    pub(crate) fn new() -> Self {
        let gpus = readable()
            .then(|| Gpus::new_with_refreshed_list().ok())
            .flatten()
            .filter(|gpus| !gpus.is_empty())
            .map(GpusBox);
        let last = gpus.as_ref().and_then(|gpus| first(&gpus.0));
        Self {
            gpus,
            since: Duration::ZERO,
            last,
        }
    }

    /// The first graphics processor, as of its last reading.
    pub(crate) fn sample(&mut self, elapsed: Duration) -> Option<Gpu> {
        let gpus = self.gpus.as_mut()?;
        self.since = self.since.saturating_add(elapsed);
        if self.since >= EVERY {
            self.since = Duration::ZERO;
            gpus.0.refresh(true);
            self.last = first(&gpus.0);
        }
        self.last.clone()
    }
}

fn first(gpus: &Gpus) -> Option<Gpu> {
    let gpu = gpus.first()?;
    let name = match (gpu.vendor(), gpu.model()) {
        (Some(vendor), Some(model)) if !model.starts_with(vendor) => format!("{vendor} {model}"),
        (_, Some(name)) | (Some(name), None) => name.to_owned(),
        (None, None) => "GPU".to_owned(),
    };
    Some(Gpu {
        name,
        percent: gpu.usage().filter(|percent| percent.is_finite()),
        memory_used_bytes: gpu.used_memory(),
    })
}

/// On Linux only AMD and NVIDIA tell their use; for any other vendor the list is made by loading
/// Vulkan with all its drivers, which costs more memory than the whole engine may have.
#[cfg(target_os = "linux")]
fn readable() -> bool {
    const AMD: &str = "0x1002";
    const NVIDIA: &str = "0x10de";
    let Ok(cards) = std::fs::read_dir("/sys/class/drm") else {
        return false;
    };
    let vendors: Vec<String> = cards
        .flatten()
        .filter_map(|card| std::fs::read_to_string(card.path().join("device/vendor")).ok())
        .collect();
    !vendors.is_empty()
        && vendors
            .iter()
            .all(|vendor| matches!(vendor.trim(), AMD | NVIDIA))
}

#[cfg(target_os = "macos")]
const fn readable() -> bool {
    true
}

//! Volumes that hold data: their size, what is free, how long that will last, and their traffic.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cockpit_model::host::Disk;
use jiff::Timestamp;
use sysinfo::{DiskRefreshKind, Disks};

use crate::forecast::{History, Point};
use crate::rate::{Counters, Rates};

const EVERY: Duration = Duration::from_secs(30);

/// One mounted file system as the system lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub mount: String,
    pub device: String,
    pub file_system: String,
    pub total: u64,
    pub free: u64,
    pub read_only: bool,
    pub traffic: Counters,
}

pub(crate) struct Volumes {
    disks: Option<Disks>,
    since: Duration,
    first: bool,
    traffic: Rates,
    histories: HashMap<String, History>,
    last: Vec<Disk>,
}

impl std::fmt::Debug for Volumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volumes")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Volumes {
    pub(crate) fn new() -> Self {
        let disks = Disks::new_with_refreshed_list_specifics(what()).ok();
        let mut volumes = Self {
            disks,
            since: Duration::ZERO,
            first: true,
            traffic: Rates::default(),
            histories: HashMap::new(),
            last: Vec::new(),
        };
        let baseline = traffic_of(&volumes.listed());
        volumes.traffic.advance(baseline, Duration::ZERO);
        volumes
    }

    pub(crate) fn seed(&mut self, mount: &str, points: &[Point]) {
        let history = self.histories.entry(mount.to_owned()).or_default();
        for (at, free) in points {
            history.push(*at, *free);
        }
    }

    pub(crate) fn sample(&mut self, now: Timestamp, elapsed: Duration) -> Vec<Disk> {
        self.since = self.since.saturating_add(elapsed);
        if !self.first && self.since < EVERY {
            return self.last.clone();
        }
        self.first = false;
        if let Some(disks) = &mut self.disks {
            disks.refresh_specifics(true, what());
        }
        let listed = self.listed();
        let rates = self.traffic.advance(traffic_of(&listed), self.since);
        self.since = Duration::ZERO;
        let mounted: HashSet<&str> = listed.iter().map(|volume| volume.mount.as_str()).collect();
        self.histories
            .retain(|mount, _| mounted.contains(mount.as_str()));
        self.last = listed
            .iter()
            .zip(rates)
            .map(|(volume, (_, rate))| {
                let history = self.histories.entry(volume.mount.clone()).or_default();
                history.push(now, volume.free);
                let rate = rate.unwrap_or_default();
                Disk {
                    mount: volume.mount.clone(),
                    total_bytes: volume.total,
                    free_bytes: volume.free,
                    days_to_full: history.days_to_full(now, volume.free),
                    read_bytes_per_s: rate.received,
                    write_bytes_per_s: rate.sent,
                }
            })
            .collect();
        self.last.clone()
    }

    fn listed(&self) -> Vec<Volume> {
        let all = self
            .disks
            .iter()
            .flat_map(|disks| disks.iter())
            // Containers have single files mounted into them.
            .filter(|disk| disk.mount_point().is_dir())
            .map(|disk| {
                let usage = disk.usage();
                Volume {
                    mount: disk.mount_point().to_string_lossy().into_owned(),
                    device: disk.name().to_string_lossy().into_owned(),
                    file_system: disk.file_system().to_string_lossy().into_owned(),
                    total: disk.total_space(),
                    free: disk.available_space(),
                    read_only: disk.is_read_only(),
                    traffic: Counters {
                        received: usage.total_read_bytes,
                        sent: usage.total_written_bytes,
                    },
                }
            });
        real(all.collect())
    }
}

fn what() -> DiskRefreshKind {
    DiskRefreshKind::nothing().with_storage().with_io_usage()
}

fn traffic_of(volumes: &[Volume]) -> Vec<(String, Counters)> {
    volumes
        .iter()
        .map(|volume| (volume.mount.clone(), volume.traffic))
        .collect()
}

/// Keeps what can fill up with data, once each.
///
/// Left out: file systems in memory; read-only ones (snapshots, images, the macOS system volume);
/// and further mounts of a device that is there already (bind mounts; on macOS the system and data
/// volumes share one container, and `/` stands for the data volume). An overlay, the root of a
/// container, is kept only where nothing else is mounted at `/`.
pub(crate) fn real(mut volumes: Vec<Volume>) -> Vec<Volume> {
    const DATA: &str = "/System/Volumes/Data";
    if let Some(data) = volumes.iter().position(|volume| volume.mount == DATA) {
        let mut data = volumes.remove(data);
        volumes.retain(|volume| volume.mount != "/");
        "/".clone_into(&mut data.mount);
        volumes.push(data);
    }
    volumes.retain(|volume| {
        let pseudo = matches!(
            volume.file_system.as_str(),
            "tmpfs" | "ramfs" | "devtmpfs" | "devfs" | "squashfs" | "autofs" | "fuse.portal"
        );
        let overlay = volume.file_system == "overlay" && volume.mount != "/";
        // On macOS `/` is the sealed system volume: read-only, in one container with the data.
        let sealed = volume.read_only && !(cfg!(target_os = "macos") && volume.mount == "/");
        volume.total > 0 && !pseudo && !overlay && !sealed
    });
    // The shortest mount point of a device is where people look for it.
    volumes.sort_by(|a, b| (a.mount.len(), &a.mount).cmp(&(b.mount.len(), &b.mount)));
    let mut devices = HashSet::new();
    volumes.retain(|volume| devices.insert(volume.device.clone()));
    volumes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(mount: &str, device: &str, file_system: &str) -> Volume {
        Volume {
            mount: mount.to_owned(),
            device: device.to_owned(),
            file_system: file_system.to_owned(),
            total: 100,
            free: 50,
            read_only: false,
            traffic: Counters::default(),
        }
    }

    fn mounts(volumes: Vec<Volume>) -> Vec<String> {
        real(volumes)
            .into_iter()
            .map(|volume| volume.mount)
            .collect()
    }

    #[test]
    fn a_linux_machine_shows_each_disk_once() {
        let sealed = Volume {
            read_only: true,
            ..volume("/snap/core", "/dev/loop0", "squashfs")
        };
        assert_eq!(
            mounts(vec![
                volume("/var/lib/docker/overlay2/x/merged", "overlay", "overlay"),
                volume("/var/lib/docker", "/dev/sda2", "ext4"),
                volume("/", "/dev/sda2", "ext4"),
                volume("/run", "tmpfs", "tmpfs"),
                volume("/data", "/dev/sdb1", "xfs"),
                sealed,
            ]),
            ["/", "/data"]
        );
    }

    #[test]
    fn a_container_shows_its_root() {
        assert_eq!(
            mounts(vec![
                volume("/", "overlay", "overlay"),
                volume("/data", "/dev/vda1", "ext4"),
            ]),
            ["/", "/data"]
        );
    }

    #[test]
    fn a_mac_shows_its_data_volume_once_as_the_root() {
        let data = Volume {
            free: 42,
            ..volume("/System/Volumes/Data", "/dev/disk3s5", "apfs")
        };
        let shown = real(vec![volume("/", "/dev/disk3s1s1", "apfs"), data]);
        assert_eq!(shown.len(), 1);
        assert!(
            shown
                .iter()
                .all(|volume| volume.mount == "/" && volume.free == 42)
        );
    }
}

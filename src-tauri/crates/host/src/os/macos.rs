//! macOS: `libproc` and `sysctl`, none of which needs root for processes of the same user.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::time::Duration;

use cockpit_model::host::Pressure;

use super::Reading;
use crate::pressure;
use crate::rate::Counters;

// `libproc.h` and `mach_time.h`. Both libraries are part of libSystem, which every program links.
#[allow(unsafe_code, reason = "the system's own C functions")]
unsafe extern "C" {
    fn proc_listchildpids(parent: c_int, buffer: *mut c_void, size: c_int) -> c_int;
    fn mach_absolute_time() -> u64;
    fn mach_timebase_info(info: *mut Timebase) -> c_int;
}

/// `mach_timebase_info_data_t`: nanoseconds = time × numer ÷ denom.
#[repr(C)]
#[derive(Clone, Copy)]
struct Timebase {
    numer: u32,
    denom: u32,
}

/// The figures of one process; `None` when there is none, or it belongs to somebody else.
pub(crate) fn read_process(pid: u32, _buffer: &mut Vec<u8>) -> Option<Reading> {
    let pid = c_int::try_from(pid).ok()?;
    let mut usage = MaybeUninit::<libc::rusage_info_v2>::zeroed();
    // SAFETY: the buffer is as large as the flavour asks for, and every bit pattern of its integers
    // is valid, so it may be read even if the call wrote only part of it.
    #[allow(unsafe_code, reason = "libproc has no safe form")]
    let usage = unsafe {
        if libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V2, usage.as_mut_ptr().cast()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    // SAFETY: takes nothing and cannot fail.
    #[allow(unsafe_code, reason = "the unit in which starts are told")]
    let now = unsafe { mach_absolute_time() };
    Some(Reading {
        start: usage.ri_proc_start_abstime,
        age: from_mach(now.saturating_sub(usage.ri_proc_start_abstime)),
        cpu: from_mach(usage.ri_user_time.saturating_add(usage.ri_system_time)),
        memory: usage.ri_resident_size.max(usage.ri_phys_footprint),
        single_threaded: false,
    })
}

/// The children of a process, added to `into`.
pub(crate) fn read_children(
    pid: u32,
    _single_threaded: bool,
    _buffer: &mut Vec<u8>,
    into: &mut Vec<u32>,
) {
    let Ok(pid) = c_int::try_from(pid) else {
        return;
    };
    let mut pids = [0 as c_int; 1024];
    let size = c_int::try_from(size_of_val(&pids)).unwrap_or(0);
    // SAFETY: the buffer is `size` bytes long and holds plain integers.
    #[allow(unsafe_code, reason = "libproc has no safe form")]
    let count = unsafe { proc_listchildpids(pid, pids.as_mut_ptr().cast(), size) };
    into.extend(
        pids.iter()
            .take(usize::try_from(count).unwrap_or(0))
            .filter_map(|pid| u32::try_from(*pid).ok())
            .filter(|pid| *pid != 0),
    );
}

/// How hard the kernel works for memory, in its own words.
pub(crate) fn memory_pressure(_buffer: &mut Vec<u8>) -> Option<Pressure> {
    pressure::from_macos_level(sysctl_i32(c"kern.memorystatus_vm_pressure_level")?)
}

/// Bytes received and sent since boot, by interface: asked of `sysinfo` here.
pub(crate) fn network_counters(_buffer: &mut Vec<u8>) -> Vec<(String, Counters)> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else {
        return Vec::new();
    };
    networks
        .iter()
        .filter(|(name, _)| !name.to_string_lossy().starts_with("lo"))
        .map(|(name, data)| {
            (
                name.to_string_lossy().into_owned(),
                Counters {
                    received: data.total_received(),
                    sent: data.total_transmitted(),
                },
            )
        })
        .collect()
}

/// The efficiency cores of Apple silicon, which come first; `None` on Intel.
pub(crate) fn efficiency_cores() -> Option<u16> {
    u16::try_from(sysctl_i32(c"hw.perflevel1.logicalcpu")?).ok()
}

fn from_mach(time: u64) -> Duration {
    static TIMEBASE: OnceLock<Timebase> = OnceLock::new();
    let base = TIMEBASE.get_or_init(|| {
        let mut base = Timebase { numer: 1, denom: 1 };
        // SAFETY: writes two integers into the struct that is laid out as the header says.
        #[allow(unsafe_code, reason = "the unit of the kernel's times")]
        let failed = unsafe { mach_timebase_info(&raw mut base) } != 0;
        if failed || base.denom == 0 {
            Timebase { numer: 1, denom: 1 }
        } else {
            base
        }
    });
    let nanos = u128::from(time) * u128::from(base.numer) / u128::from(base.denom);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn sysctl_i32(name: &CStr) -> Option<i32> {
    let mut value: i32 = 0;
    let mut size = size_of::<i32>();
    let name: *const c_char = name.as_ptr();
    // SAFETY: the name ends in a zero byte, and value and size are each other's.
    #[allow(unsafe_code, reason = "sysctl has no safe form")]
    let status = unsafe {
        libc::sysctlbyname(
            name,
            (&raw mut value).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    (status == 0 && size == size_of::<i32>()).then_some(value)
}

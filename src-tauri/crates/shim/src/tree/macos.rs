//! macOS: libproc and sysctl, both in libSystem.
#![allow(
    unsafe_code,
    reason = "neither std nor rustix reaches libproc and sysctl"
)]

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::mem::{size_of, size_of_val};

use rustix::process::{Signal, getsid, kill_process};

use super::{Identity, Stat, pid_of};

const PROC_ALL_PIDS: u32 = 1;
const PROC_PPID_ONLY: u32 = 6;
const PROC_PIDTBSDINFO: c_int = 3;
const CTL_KERN: c_int = 1;
const KERN_PROCARGS2: c_int = 49;
const SZOMB: u32 = 5;

/// `struct proc_bsdinfo` of `<sys/proc_info.h>`.
#[repr(C)]
#[derive(Clone, Copy)]
struct BsdInfo {
    flags: u32,
    status: u32,
    xstatus: u32,
    pid: u32,
    ppid: u32,
    ids: [u32; 6],
    reserved: u32,
    comm: [c_char; 16],
    name: [c_char; 32],
    files: u32,
    pgid: u32,
    job_control: u32,
    tty: u32,
    tty_group: u32,
    nice: i32,
    start_seconds: u64,
    start_micros: u64,
}

const _: () = assert!(size_of::<BsdInfo>() == 136);

unsafe extern "C" {
    fn proc_listpids(kind: u32, info: u32, buffer: *mut c_void, size: c_int) -> c_int;
    fn proc_pidinfo(pid: c_int, flavor: c_int, arg: u64, buffer: *mut c_void, size: c_int)
    -> c_int;
    fn sysctl(
        name: *mut c_int,
        name_len: c_uint,
        old: *mut c_void,
        old_len: *mut usize,
        new: *mut c_void,
        new_len: usize,
    ) -> c_int;
}

/// Start times are dates here: they need no boot beside them.
pub(super) fn boot() -> Option<String> {
    None
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    let mut info = std::mem::MaybeUninit::<BsdInfo>::zeroed();
    let size = c_int::try_from(size_of::<BsdInfo>()).ok()?;
    // SAFETY: the buffer is valid for `size` bytes, which is what the kernel may write at most.
    let n = unsafe {
        proc_pidinfo(
            c_int::try_from(pid).ok()?,
            PROC_PIDTBSDINFO,
            0,
            info.as_mut_ptr().cast(),
            size,
        )
    };
    if n != size {
        return None;
    }
    // SAFETY: it was zeroed, and every bit pattern is a value of these integer fields.
    let info = unsafe { info.assume_init() };
    let session = pid_of(pid)
        .and_then(|pid| getsid(Some(pid)).ok())
        .map_or(0, |sid| sid.as_raw_nonzero().get().unsigned_abs());
    Some(Stat {
        ppid: info.ppid,
        group: info.pgid,
        session,
        start_time: info
            .start_seconds
            .wrapping_mul(1_000_000)
            .wrapping_add(info.start_micros),
        zombie: info.status == SZOMB,
    })
}

fn pids(kind: u32, info: u32) -> Vec<u32> {
    let mut pids: Vec<c_int> = vec![0; if kind == PROC_ALL_PIDS { 4096 } else { 64 }];
    loop {
        let bytes = c_int::try_from(size_of_val(pids.as_slice())).unwrap_or(c_int::MAX);
        // SAFETY: the buffer is valid for `bytes` bytes.
        let n = unsafe { proc_listpids(kind, info, pids.as_mut_ptr().cast(), bytes) };
        let count = usize::try_from(n).unwrap_or(0) / size_of::<c_int>();
        if count < pids.len() {
            pids.truncate(count);
            return pids
                .into_iter()
                .filter_map(|pid| u32::try_from(pid).ok())
                .filter(|&pid| pid > 0)
                .collect();
        }
        pids.resize(pids.len() * 2, 0);
    }
}

pub(super) fn all() -> BTreeMap<u32, Stat> {
    pids(PROC_ALL_PIDS, 0)
        .into_iter()
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

/// By asking for the children of each: this costs by the size of the tree.
pub(super) fn descendants(root: u32) -> Option<Vec<Identity>> {
    let mut found: Vec<Identity> = Vec::new();
    let mut todo = vec![root];
    while let Some(pid) = todo.pop() {
        for child in pids(PROC_PPID_ONLY, pid) {
            let Some(stat) = stat(child).filter(|stat| !stat.zombie) else {
                continue;
            };
            let id = Identity {
                pid: child,
                start_time: stat.start_time,
            };
            // Pids that are reused while we look must not lead us round in a circle.
            if !found.contains(&id) {
                found.push(id);
                todo.push(child);
            }
        }
    }
    Some(found)
}

pub(super) fn has_environment(pid: u32, entry: &str) -> bool {
    arguments(pid).is_some_and(|bytes| in_environment(&bytes, entry))
}

/// The layout is: argc, the executable's path, NULs, argc arguments, the environment.
fn in_environment(bytes: &[u8], entry: &str) -> bool {
    let Some((argc, rest)) = bytes.split_first_chunk::<4>() else {
        return false;
    };
    let argc = usize::try_from(i32::from_ne_bytes(*argc)).unwrap_or(0);
    let Some(path_end) = rest.iter().position(|&b| b == 0) else {
        return false;
    };
    let rest = rest.get(path_end..).unwrap_or_default();
    let start = rest.iter().position(|&b| b != 0).unwrap_or(rest.len());
    rest.get(start..)
        .unwrap_or_default()
        .split(|&b| b == 0)
        .skip(argc)
        .any(|e| e == entry.as_bytes())
}

fn arguments(pid: u32) -> Option<Vec<u8>> {
    let mut name = [CTL_KERN, KERN_PROCARGS2, c_int::try_from(pid).ok()?];
    let mut size: usize = 0;
    // SAFETY: `name` has three elements; no buffer is given, so only `size` is written.
    let ok = unsafe {
        sysctl(
            name.as_mut_ptr(),
            3,
            std::ptr::null_mut(),
            &mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    if ok != 0 || size == 0 {
        return None;
    }
    let mut bytes = vec![0_u8; size];
    // SAFETY: as above, and the buffer is valid for the `size` bytes that are announced.
    let ok = unsafe {
        sysctl(
            name.as_mut_ptr(),
            3,
            bytes.as_mut_ptr().cast(),
            &mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    if ok != 0 {
        return None;
    }
    bytes.truncate(size);
    Some(bytes)
}

pub(super) fn signal(id: Identity, signal: Signal) -> bool {
    let is_it = stat(id.pid).is_some_and(|stat| stat.start_time == id.start_time);
    is_it && pid_of(id.pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

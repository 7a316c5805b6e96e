//! Ports: whether one is taken, and free ones for the instances of a service.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::cell::lock;

/// Where instances' ports are taken from: below what systems give out for outgoing connections.
const FIRST: u16 = 21_000;
const COUNT: u16 = 8_000;

/// Whether somebody listens on the port. Binds and lets go, without listening: nobody can connect meanwhile.
/// With `SO_REUSEADDR`, so that connections that are merely winding down do not count.
pub(crate) fn is_taken(ip: IpAddr, port: u16) -> bool {
    let address = SocketAddr::new(ip, port);
    let family = match ip {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    #[cfg(target_os = "linux")]
    let flags = SocketFlags::CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = SocketFlags::empty();
    let Ok(socket) = socket_with(family, SocketType::STREAM, flags, None) else {
        return false;
    };
    let _ = sockopt::set_socket_reuseaddr(&socket, true);
    let taken = matches!(bind(&socket, &address), Err(rustix::io::Errno::ADDRINUSE));
    // Darwin lets a specific address be bound beside a listener on all of them; only asking tells.
    taken || (cfg!(target_os = "macos") && answers(address))
}

fn answers(address: SocketAddr) -> bool {
    let within = std::time::Duration::from_millis(50);
    std::net::TcpStream::connect_timeout(&address, within).is_ok()
}

/// The address a service binds, from its `listen`; a name stands for loopback.
pub(crate) fn ip_of(listen: &str) -> IpAddr {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The ports that instances were given as their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ports {
    leased: Arc<Mutex<BTreeSet<u16>>>,
}

/// An instance's own port; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    port: u16,
    of: Ports,
}

impl Lease {
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.of.leased).remove(&self.port);
    }
}

impl Ports {
    /// A free port, the same one for the same service and instance if it can be; none if all are taken.
    pub(crate) fn pick(&self, service: &str, index: u16) -> Option<Lease> {
        let hash = service.bytes().fold(0_u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let start = hash.wrapping_mul(97).wrapping_add(u32::from(index)) % u32::from(COUNT);
        (0..u32::from(COUNT))
            .map(|i| (start + i) % u32::from(COUNT))
            .filter_map(|offset| Some(FIRST + u16::try_from(offset).ok()?))
            .filter_map(|port| self.claim(port))
            .find(|lease| !is_taken(IpAddr::V4(Ipv4Addr::LOCALHOST), lease.port))
    }

    /// This very port, if no other instance has it.
    pub(crate) fn claim(&self, port: u16) -> Option<Lease> {
        // Only a lease that is given may ever be dropped: dropping gives the port back.
        let is_free = lock(&self.leased).insert(port);
        is_free.then(|| Lease {
            port,
            of: self.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_seen_and_its_end_too() {
        let loopback = ip_of("localhost:1");
        let listener = TcpListener::bind((loopback, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(loopback, port));
        let client = std::net::TcpStream::connect((loopback, port)).unwrap();
        // Closed by the server first: its side lingers in TIME_WAIT, which does not hold the port.
        drop(listener.accept().unwrap());
        drop(listener);
        drop(client);
        assert!(!is_taken(loopback, port));
    }

    #[test]
    fn instances_get_ports_of_their_own_and_give_them_back() {
        let ports = Ports::default();
        let mut leases: Vec<_> = (0..20).map(|i| ports.pick("api", i).unwrap()).collect();
        let different: BTreeSet<_> = leases.iter().map(Lease::port).collect();
        assert_eq!(different.len(), 20);
        let last = leases.pop().unwrap().port();
        assert_eq!(ports.claim(last).unwrap().port(), last);
        let first = leases[0].port();
        assert!(ports.claim(first).is_none());
        assert!(
            ports.claim(first).is_none(),
            "who asks in vain frees nothing"
        );
        drop(leases);
        assert!(lock(&ports.leased).is_empty());
    }

    #[test]
    fn addresses_are_told_from_names() {
        assert_eq!(ip_of("0.0.0.0:80").to_string(), "0.0.0.0");
        assert_eq!(ip_of("[::1]:80").to_string(), "::1");
    }
}

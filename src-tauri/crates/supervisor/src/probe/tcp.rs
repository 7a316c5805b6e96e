//! `tcp`: a connection is accepted.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

pub(super) async fn connect(address: &str) -> Result<(), String> {
    // A plain address needs no resolver, which would cost a thread.
    let connected = match address.parse::<SocketAddr>() {
        Ok(address) => TcpStream::connect(address).await,
        Err(_) => TcpStream::connect(address).await,
    };
    connected.map(drop).map_err(|e| refusal(&e, address))
}

/// Why there is no connection, in words.
pub(super) fn refusal(error: &io::Error, address: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("connection refused at {address}"),
        io::ErrorKind::ConnectionReset => format!("connection reset by {address}"),
        io::ErrorKind::TimedOut => format!("no answer from {address}"),
        _ => format!("cannot connect to {address}: {error}"),
    }
}

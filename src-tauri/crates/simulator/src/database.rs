//! A database as a supervisor sees it: a port that accepts, and a log.
//!
//! It speaks no SQL. Whatever a client sends is read and the connection closed, as PostgreSQL does
//! with what it does not understand.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::serving::{Board, say, serve, told_to_end};
use crate::{Common, words};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where it listens, on loopback.
    #[arg(long)]
    port: u16,
    /// Where `/_fault` is served.
    #[arg(long)]
    control_port: Option<u16>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let board = Board::start(&options.common);
    say("LOG:  starting the database double");
    let control = async {
        match options.control_port {
            Some(port) => serve("database control", port, axum::Router::new(), board.clone()).await,
            None => {
                told_to_end().await;
                Ok(())
            }
        }
    };
    tokio::select! {
        ended = control => {
            say("LOG:  received fast shutdown request");
            say("LOG:  database system is shut down");
            ended
        }
        ended = listen(options.port, &board) => ended,
        () = checkpoints(options.common.seed, &board) => Ok(()),
    }
}

async fn listen(port: u16, board: &Board) -> anyhow::Result<()> {
    board.ready().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("the database could not listen on 127.0.0.1:{port}"))?;
    say(&format!(
        "LOG:  listening on IPv4 address \"127.0.0.1\", port {port}"
    ));
    say("LOG:  database system is ready to accept connections");
    loop {
        let (stream, _) = listener.accept().await.context("accept failed")?;
        tokio::spawn(converse(stream, board.clone()));
    }
}

async fn converse(mut stream: TcpStream, board: Board) {
    if board.pass().await.is_err() {
        return;
    }
    let mut sent = [0; 1024];
    let _ = timeout(Duration::from_secs(60), stream.read(&mut sent)).await;
}

async fn checkpoints(seed: u64, board: &Board) {
    let mut rng = words::rng(seed, "checkpoints");
    board.ready().await;
    loop {
        sleep(Duration::from_secs(rng.random_range(20..40))).await;
        let _ = board.pass().await;
        let buffers = rng.random_range(3..400);
        say("LOG:  checkpoint starting: time");
        say(&format!(
            "LOG:  checkpoint complete: wrote {buffers} buffers ({:.1}%); sync=0.00{} s",
            f64::from(buffers) / 163.84,
            rng.random_range(1..9)
        ));
    }
}

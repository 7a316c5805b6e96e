//! A queue worker: takes a job now and then, asks the API if it has one, and writes about it.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::time::sleep;

use crate::client::post_json;
use crate::serving::{Board, say, serve, told_to_end};
use crate::{Common, words};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where `/_fault` and `/health` are served.
    #[arg(long)]
    port: Option<u16>,
    /// The API's port that is asked the questions.
    #[arg(long)]
    api: Option<u16>,
    /// About how often a job comes in.
    #[arg(long, value_parser = crate::clock::duration, value_name = "TIME", default_value = "8s")]
    every: Duration,
    #[command(flatten)]
    common: Common,
}

const JOBS: [&str; 5] = ["summarise", "classify", "embed", "translate", "extract"];

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let board = Board::start(&options.common);
    let control = async {
        match options.port {
            Some(port) => {
                let routes =
                    axum::Router::new().route("/health", axum::routing::get(async || "ok\n"));
                serve("worker", port, routes, board.clone()).await
            }
            None => {
                told_to_end().await;
                say("finishing the job at hand, then leaving");
                Ok(())
            }
        }
    };
    tokio::select! {
        ended = control => ended,
        () = work(&options, &board) => Ok(()),
    }
}

async fn work(options: &Options, board: &Board) {
    let mut rng = words::rng(options.common.seed, "jobs");
    let mut number = 1000_u32;
    say("worker starting, queue `default`, 4 slots");
    board.ready().await;
    say("worker ready");
    loop {
        sleep(options.every.mul_f64(rng.random_range(0.5..1.5))).await;
        let faulty = board.pass().await.is_err();
        number += 1;
        job(options, &mut rng, number, faulty).await;
    }
}

async fn job(options: &Options, rng: &mut StdRng, number: u32, faulty: bool) {
    let what = words::pick(rng, &JOBS);
    let document = rng.random_range(1..500);
    say(&format!("job {number} {what} started"));
    let began = Instant::now();
    let outcome = match options.api {
        _ if faulty => Err("an error was ordered from the fault board".to_owned()),
        Some(port) => {
            let question = format!("{what} document {document}");
            post_json(port, "/ask", &json!({ "question": question }))
                .await
                .map(|_| ())
                .map_err(|error| format!("{error:#}"))
        }
        None => {
            sleep(Duration::from_millis(rng.random_range(40..900))).await;
            Ok(())
        }
    };
    let took = began.elapsed().as_millis();
    match outcome {
        Ok(()) => say(&format!("job {number} {what} done in {took} ms")),
        Err(error) => say(&format!(
            "job {number} {what} failed after {took} ms, back in the queue: {error}"
        )),
    }
}

//! The applications of the demo: they ask models through the gateway, tell the cockpit what came of it, and
//! now and then order a fault at a provider, so that breakers, retries and fallbacks are seen.

mod plan;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::client::request;
use crate::serving::{Board, say, serve};
use crate::{Common, words};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where `/health` and `/_fault` are served.
    #[arg(long)]
    port: u16,
    /// The gateway's port.
    #[arg(long)]
    gateway: u16,
    /// The file that holds the key for it.
    #[arg(long)]
    key_file: PathBuf,
    /// The cockpit's own port, which is told of tasks and feedback.
    #[arg(long)]
    cockpit: u16,
    /// The file that holds its token.
    #[arg(long)]
    token_file: PathBuf,
    /// OpenAI's port, for faults; none without it.
    #[arg(long)]
    openai: Option<u16>,
    /// Anthropic's port, for faults.
    #[arg(long)]
    anthropic: Option<u16>,
    #[command(flatten)]
    common: Common,
}

/// Answers that are waited for at once; more requests are left out, as people wait too.
const AT_ONCE: usize = 8;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let board = Board::start(&options.common);
    board.ready().await;
    let routes = axum::Router::new().route("/health", axum::routing::get(async || "ok\n"));
    let port = options.port;
    tokio::select! {
        ended = serve("traffic", port, routes, board) => ended,
        () = people(&options) => Ok(()),
        () = faults(&options) => Ok(()),
    }
}

/// Asks, for ever.
async fn people(options: &Options) {
    let mut rng = words::rng(options.common.seed, "traffic");
    let began = Instant::now();
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    // Numbers go on over restarts of the demo: an id is told only once.
    let first = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    say("traffic: asking");
    for number in first.. {
        sleep(plan::pause(&mut rng, began.elapsed())).await;
        let ask = plan::ask(&mut rng);
        let told = plan::told(&mut rng, number, ask.user, ask.agent);
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            say("traffic: everybody still waits for an answer");
            continue;
        };
        let options = options.clone();
        tokio::spawn(async move {
            match timeout(PATIENCE, put(&options, &ask)).await {
                Ok(Ok(status)) => say(&format!(
                    "{} {} for {}: {status}",
                    ask.agent, ask.path, ask.user
                )),
                Ok(Err(error)) => say(&format!("{} {} failed: {error:#}", ask.agent, ask.path)),
                Err(_) => say(&format!("{} {} was given up", ask.agent, ask.path)),
            }
            // An agent's task is several requests: not each ends one.
            if number % 3 == 0
                && let Err(error) = tell(&options, told).await
            {
                say(&format!("the cockpit could not be told: {error:#}"));
            }
            drop(seat);
        });
    }
}

/// One request to a model: the status of its answer.
async fn put(options: &Options, ask: &plan::Ask) -> anyhow::Result<u16> {
    let key = secret(&options.key_file).await?;
    let body = ask.body.to_string();
    let head = format!(
        "POST {} HTTP/1.0\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {key}\r\nx-cockpit-user: {}\r\n\
         x-cockpit-agent: {}\r\nanthropic-version: 2023-06-01\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        ask.path,
        options.gateway,
        ask.user,
        ask.agent,
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", options.gateway)).await?;
    stream.write_all((head + &body).as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await?;
    let start = String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned();
    let status = start
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.context("an answer without a status")?;
    // Whoever gives up closes the connection on what is still being written.
    while !ask.gives_up && stream.read(&mut answer).await? > 0 {}
    Ok(status)
}

/// Tells the cockpit.
async fn tell(options: &Options, events: Vec<Value>) -> anyhow::Result<()> {
    let token = secret(&options.token_file).await?;
    let body = Value::Array(events).to_string();
    let port = options.cockpit;
    let head = format!(
        "POST /api/events HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all((head + &body).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.context("no answer")??;
    anyhow::ensure!(
        answer.contains(" 200 "),
        "{}",
        answer.lines().next().unwrap_or_default()
    );
    Ok(())
}

async fn secret(file: &Path) -> anyhow::Result<String> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text.trim().to_owned())
}

/// Lets something go wrong at a provider now and then, for ever.
async fn faults(options: &Options) {
    let mut rng = words::rng(options.common.seed, "trouble");
    loop {
        let (wait, trouble) = plan::trouble(&mut rng);
        sleep(wait).await;
        let port = match trouble.provider {
            "openai" => options.openai,
            _ => options.anthropic,
        };
        let Some(port) = port else { continue };
        say(&format!(
            "{} is given a fault: {}",
            trouble.provider, trouble.order
        ));
        let ordered = request(port, "POST", "/_fault", Some(&json!(trouble.order))).await;
        if let Err(error) = ordered {
            say(&format!(
                "{} could not be given it: {error:#}",
                trouble.provider
            ));
        }
    }
}

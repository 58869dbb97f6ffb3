//! The receiver as a program.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use receiver::{Config, Receiver};
use tokio::signal::unix::{SignalKind, signal};

/// Receives Orion's webhook deliveries, checks their secret, and shows them.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// File with what X-Webhook-Secret must say; white space around it does not count.
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// How many deliveries may wait for their work; more are answered 503.
    #[arg(long, default_value_t = 100)]
    queue: usize,
    /// Milliseconds that the (pretended) work on one event takes.
    #[arg(long, default_value_t = 0)]
    work: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Config {
        listen: args.listen,
        queue: args.queue,
        work: Duration::from_millis(args.work),
        print: true,
        ..Config::new(secret(args.secret_file)?)
    };
    // Before the port opens: a signal that comes right after must not be missed.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let receiver = Receiver::start(config).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("Receiver: {}", receiver.url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    receiver.stop().await;
    Ok(())
}

/// No flag for the secret itself: every user of a machine can read command lines.
fn secret(file: Option<PathBuf>) -> anyhow::Result<String> {
    let secret = match (file, std::env::var("RECEIVER_SECRET")) {
        (Some(path), _) => std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?,
        (None, Ok(secret)) => secret,
        (None, Err(_)) => {
            bail!("give the secret with --secret-file, or in the environment as RECEIVER_SECRET")
        }
    };
    let secret = secret.trim();
    if secret.is_empty() {
        bail!("the secret is empty");
    }
    Ok(secret.to_owned())
}

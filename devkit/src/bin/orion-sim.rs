//! Runs the simulated Orion by itself.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::{ArgAction, Parser};
use devkit::sim::{Config, CreateAnswer, HeaderValues, IdFormat, ListShape, OpenApi, Sim, TokenFormat};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Orion: the webhook API, faults on demand, and a page to watch it.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Path in front of the API.
    #[arg(long, default_value = "/v1alpha")]
    prefix: String,
    /// User that may log in.
    #[arg(long, default_value = "demo")]
    username: String,
    /// Password of that user.
    #[arg(long, env = "ORION_SIM_PASSWORD", default_value = "demo-password", hide_env_values = true)]
    password: String,
    /// File with tokens that never expire, one a line.
    #[arg(long)]
    static_token_file: Option<PathBuf>,
    /// Seconds that a token from a login is good for.
    #[arg(long, default_value_t = 3600)]
    token_lifetime: u64,
    /// What tokens look like.
    #[arg(long, value_enum, default_value = "jwt")]
    token_format: TokenFormat,
    /// Say `expires_in` in the answer to a login.
    #[arg(long)]
    expires_in: bool,
    /// Is there a list of webhooks?
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    list: bool,
    /// Can one webhook be read?
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    get: bool,
    /// Is there PUT?
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    put: bool,
    /// Is there PATCH?
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    patch: bool,
    /// Is there DELETE?
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    delete: bool,
    /// Status of a create.
    #[arg(long, default_value_t = 201, value_parser = clap::value_parser!(u16).range(200..300))]
    create_status: u16,
    /// Body of a create.
    #[arg(long, value_enum, default_value = "object-id")]
    create_answer: CreateAnswer,
    /// What ids look like.
    #[arg(long, value_enum, default_value = "padded")]
    id_format: IdFormat,
    /// Body of a list.
    #[arg(long, value_enum, default_value = "page")]
    list_shape: ListShape,
    /// Largest page of a list.
    #[arg(long, default_value_t = 100)]
    max_page_size: usize,
    /// How header values are echoed.
    #[arg(long, value_enum, default_value = "plain")]
    header_values: HeaderValues,
    /// Forget headers other than X-Webhook-Secret.
    #[arg(long)]
    strip_unknown_headers: bool,
    /// Where the OpenAPI document is.
    #[arg(long, value_enum, default_value = "root")]
    openapi: OpenApi,
    /// Honour Idempotency-Key.
    #[arg(long)]
    idempotency: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let listen = args.listen;
    // Before the port opens: a signal that comes right after must not be missed.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sim = Sim::start_on(listen, config(args)?).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("Orion simulator: {}/ (API: {})", sim.url(), sim.endpoint());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn config(args: Args) -> anyhow::Result<Config> {
    let static_tokens = match &args.static_token_file {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => String::new(),
    };
    Ok(Config {
        prefix: args.prefix,
        username: args.username,
        password: args.password,
        static_tokens: static_tokens.lines().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        token_lifetime_ms: args.token_lifetime.saturating_mul(1000),
        token_format: args.token_format,
        expires_in: args.expires_in,
        list: args.list,
        get: args.get,
        put: args.put,
        patch: args.patch,
        delete: args.delete,
        create_status: args.create_status,
        create_answer: args.create_answer,
        id_format: args.id_format,
        list_shape: args.list_shape,
        max_page_size: args.max_page_size,
        header_values: args.header_values,
        strip_unknown_headers: args.strip_unknown_headers,
        openapi: args.openapi,
        idempotency: args.idempotency,
        ..Config::default()
    })
}

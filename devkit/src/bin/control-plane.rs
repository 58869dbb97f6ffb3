//! Runs a local Kubernetes control plane to play with.

use std::path::Path;

use anyhow::Result;
use clap::{Parser, Subcommand};
use devkit::control_plane::{Binaries, ControlPlane, Options};
use tokio::signal::unix::{SignalKind, signal};

/// A real Kubernetes control plane as local processes: no container engine, no root, no pods.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a control plane and keep it until Ctrl-C
    Up {
        /// Leave kube-controller-manager out: deleted namespaces stay Terminating
        #[arg(long)]
        no_controller_manager: bool,
        /// Let etcd wait for the disk, as in production
        #[arg(long)]
        fsync: bool,
        /// Keep no audit log
        #[arg(long)]
        no_audit: bool,
    },
    /// Only make the binaries available
    Build,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Build => {
            let binaries = Binaries::ensure().await?;
            println!("{}", binaries.etcd.display());
            println!("{}", binaries.kube_apiserver.display());
            if let Some(path) = &binaries.kube_controller_manager {
                println!("{}", path.display());
            }
            println!("{}", binaries.kubectl.display());
            Ok(())
        }
        Command::Up { no_controller_manager, fsync, no_audit } => {
            let options =
                Options { controller_manager: !no_controller_manager, fsync, audit: !no_audit, ..Options::default() };
            up(options).await
        }
    }
}

async fn up(options: Options) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let serve = async {
        let plane = ControlPlane::start(options).await?;
        println!("# server: {}, logs: {}", plane.server_url(), plane.data_dir().display());
        println!("# stop with Ctrl-C");
        // For who has no kubectl: one's own comes first.
        if let Some(directory) = Path::new(plane.kubectl().as_std().get_program()).parent() {
            println!("export PATH=\"$PATH:{}\"", directory.display());
        }
        println!("export KUBECONFIG={}", plane.admin_kubeconfig().display());
        std::future::pending::<()>().await;
        drop(plane);
        anyhow::Ok(())
    };
    tokio::select! {
        result = serve => result,
        () = stopped => Ok(()),
    }
}

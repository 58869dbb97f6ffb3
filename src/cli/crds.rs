//! `orion-operator crds`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::Error;
use crate::api::{crds, file_name, to_yaml};

/// Arguments of `crds`.
#[derive(Args, Debug)]
pub struct CrdsArgs {
    /// Write one file for each definition into this directory instead of printing them
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Prints the custom resource definitions to `out`, or writes them to files.
pub(super) fn run(args: &CrdsArgs, out: &mut impl Write) -> Result<(), Error> {
    if let Some(dir) = &args.output_dir {
        fs::create_dir_all(dir).map_err(|source| Error::File { path: dir.clone(), source })?;
    }
    for crd in crds() {
        let yaml = to_yaml(&crd)?;
        match &args.output_dir {
            Some(dir) => {
                let path = dir.join(file_name(&crd));
                fs::write(&path, yaml).map_err(|source| Error::File { path, source })?;
            }
            None => out.write_all(yaml.as_bytes())?,
        }
    }
    Ok(())
}

//! `orion-operator completion`: what a shell needs to complete our commands and flags.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::plugin::{Plugin, Program};
use super::{Cli, Error};

/// Arguments of `completion`.
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Writes the script to `out`.
pub(super) fn run(args: &CompletionArgs, program: Program, out: &mut impl Write) -> Result<(), Error> {
    let mut script = Vec::new();
    let mut command = match program {
        Program::Operator => Cli::command(),
        Program::Plugin => Plugin::command(),
    };
    clap_complete::generate(args.shell, &mut command, program.file(), &mut script);
    Ok(out.write_all(&script)?)
}

//! Command line to library call, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    orion_operator::cli::main()
}

//! Command line to library call, nothing else.

use std::process::ExitCode;

/// The same one in every build: that of musl, which the image has, is slow where threads share it, and that of glibc gives
/// less back after a peak.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    orion_operator::cli::main()
}

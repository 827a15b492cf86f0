//! The command line. Everything it does lives in the library; see `gatehouse --help`.

use std::process::ExitCode;

/// A request allocates some dozens of small pieces on threads that never share them; mimalloc keeps those per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    proxy::cli::main()
}

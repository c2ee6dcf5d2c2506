//! The `martello` program.

use std::process::ExitCode;

/// A request makes and drops hundreds of small values on several threads: the system's allocator took a sixth of the
/// time of a page.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    martello::cli::main()
}

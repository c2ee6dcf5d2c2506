//! The `martello` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    martello::cli::main()
}

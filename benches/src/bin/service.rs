//! `service`: what a forwarded packet costs in the real service, beside the limit of the same shape.

use std::io::{self, Write};
use std::process::ExitCode;

use benches::service::{self, Options};
use clap::Parser;

/// The real service under load, one shard on one core and everything else on another, beside the bare fan-out loop of the
/// same shape
///
/// For each row the service is started, loaded and measured, and then the limit runs at the same arrivals; both in every
/// round, and the medians count. It prints a table in Markdown. All binaries are built before, in release.
#[derive(Parser)]
#[command(name = "service", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "\
Examples:
  service                                   the whole table, some twenty minutes
  service --rows voice-rooms,one-room --rounds 1 --duration 5s
                                            two rows, quickly";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let tell = |line: &str| drop(writeln!(io::stderr(), "{line}"));
    let written = service::run(&cli.options, tell).map_err(|error| error.to_string()).and_then(|table| {
        write!(io::stdout(), "{table}").map_err(|error| format!("the table can't be written: {error}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("service: {error}"));
            ExitCode::FAILURE
        }
    }
}

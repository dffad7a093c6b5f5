//! `limit`: what a forwarded packet costs where nothing is done but cryptography and sending.

use std::io::{self, Write};
use std::process::ExitCode;

use benches::limit::{self, Options};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// The bare fan-out loop: what a forwarded packet costs at least on this kernel
///
/// A packet is received, opened once, and for every other member of its room copied, sealed under that member's own key
/// and sent: no look-up, no rewriting, nothing kept. What is told is the CPU time of the sending thread for one forwarded
/// packet; every variant has its turn in every round, and the medians count.
#[derive(Parser)]
#[command(name = "limit", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  limit --rooms 1 --members 101 --speakers 1           one room of a speaker and 100 who listen
  limit --rooms 100 --members 10 --speakers 2 --pace 20ms
                                                       voice, as it comes
  limit --rooms 1 --members 101 --speakers 1 --packet-len 1200 --burst 4
                                                       video: GSO has something to join
  limit --device ifb                                   to a device that frees all it is sent (needs root)";

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Shown only where standard error is a terminal.
    let progress = ProgressBar::new(cli.options.steps() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} slices, {eta} left") {
        progress.set_style(style);
    }
    let result = limit::run(&cli.options, || progress.inc(1));
    progress.finish_and_clear();
    let written = result.map_err(|error| error.to_string()).and_then(|report| {
        let mut out = io::stdout().lock();
        let text = if cli.json {
            serde_json::to_string(&report).map_err(|error| error.to_string())?
        } else {
            report.to_string()
        };
        writeln!(out, "{}", text.trim_end()).map_err(|error| format!("the report can't be written: {error}"))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "limit: {error}");
            ExitCode::FAILURE
        }
    }
}

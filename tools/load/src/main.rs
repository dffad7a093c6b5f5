//! The `voice-load` binary: arguments in, table or JSON out, and an exit code.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use load::cli::{Cli, Command, InspectArgs, RecordArgs, RunArgs};
use load::error::LoadError;
use load::report::{Report, render};

/// The exit code where the run could not be made; clap gives the same for wrong arguments.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        None => run(&cli.run),
        Some(Command::Run(args)) => run(args),
        Some(Command::Inspect(args)) => inspect(args),
        Some(Command::Record(args)) => record(args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(stderr(), "error: {error}");
            ExitCode::from(NOT_RUN)
        }
    }
}

fn run(args: &RunArgs) -> Result<u8, LoadError> {
    let report = block_on(|interrupted| load::run::run(args, interrupted))?;
    let is_on_output = args.json.as_deref() == Some(Path::new("-"));
    // The table first: it is there even where the file can't be written.
    if !is_on_output {
        write_output(&render(&report))?;
    }
    if let Some(path) = &args.json {
        write_json(path, &report)?;
    }
    Ok(report.verdict.exit_code)
}

fn inspect(args: &InspectArgs) -> Result<u8, LoadError> {
    let inspection = load::inspect::inspect(args)?;
    write_output(&inspection.text)?;
    match inspection.damage {
        Some(damage) => Err(LoadError::Damaged(damage)),
        None => Ok(0),
    }
}

fn record(args: &RecordArgs) -> Result<u8, LoadError> {
    let recorded = block_on(|interrupted| load::record::record(args, interrupted))?;
    write_output(&format!(
        "{} packets of {} streams are in {}; {} were not authentic\n",
        recorded.packets,
        recorded.streams,
        args.out.display(),
        recorded.unauthenticated
    ))?;
    Ok(0)
}

/// Runs to the end, or to Ctrl-C, which sets the flag that the work is given.
fn block_on<T, F>(work: impl FnOnce(Arc<AtomicBool>) -> F) -> Result<T, LoadError>
where
    F: Future<Output = Result<T, LoadError>>,
{
    // Joins have one thread, and lanes their own: the figures of a lane are those of one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LoadError::System(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                flag.store(true, Ordering::Relaxed);
            }
        });
        work(interrupted).await
    })
}

fn write_json(path: &Path, report: &Report) -> Result<(), LoadError> {
    let text = serde_json::to_string_pretty(report);
    let text = text.map_err(|error| LoadError::System(format!("the result can't be written as JSON: {error}")))?;
    if path == Path::new("-") {
        return write_output(&format!("{text}\n"));
    }
    fs::write(path, text).map_err(|error| LoadError::File { path: path.to_owned(), error })
}

fn write_output(text: &str) -> Result<(), LoadError> {
    stdout().write_all(text.as_bytes()).map_err(|error| LoadError::System(format!("standard output: {error}")))
}

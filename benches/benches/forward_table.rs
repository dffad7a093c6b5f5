//! The shard's turn as a table: nanoseconds, and instructions counted by callgrind, for one copy of a packet.
//!
//! Nanoseconds are the median of many turns. Instructions come from this program run again under valgrind, which counts in
//! `Rooms::take_measured_turn` alone; they are the same on every machine with the same instruction set, and in every run.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up is to fail where it stands")]

use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use benches::rooms::{Heat, Media, Rooms};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// What a shard takes for one copy of a packet, as a Markdown table
#[derive(Parser)]
struct Cli {
    /// Consumers of a packet, comma-separated
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 600, 3000])]
    consumers: Vec<usize>,
    /// Leave out the instructions, which need valgrind and most of the time
    #[arg(long)]
    no_instructions: bool,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// What is run under valgrind: a case's number
    #[arg(long, hide = true)]
    turns_of: Option<usize>,
}

/// One line of the table, for one heat.
#[derive(Clone, Copy)]
struct Case {
    media: Media,
    consumers: usize,
    heat: Heat,
}

/// How long turns are measured for each case.
const MEASURED: Duration = Duration::from_secs(1);

/// Turns that are measured at least: where rooms are cold and large, few fit in that time.
const TURNS_MIN: usize = 50;

/// Turns whose instructions are counted. They differ by less than one in a hundred.
const TURNS_COUNTED: usize = 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let cases: Vec<Case> = Media::ALL
        .into_iter()
        .flat_map(|media| cli.consumers.iter().map(move |consumers| (media, *consumers)))
        .flat_map(|(media, consumers)| Heat::ALL.map(|heat| Case { media, consumers, heat }))
        .collect();
    if let Some(case) = cli.turns_of {
        take_turns(cases[case]);
        return ExitCode::SUCCESS;
    }
    // Shown only where standard error is a terminal.
    let progress = ProgressBar::new(cases.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} cases, {eta} left") {
        progress.set_style(style);
    }
    let mut rows = Vec::new();
    for (place, case) in cases.iter().enumerate() {
        let instructions = match (!cli.no_instructions).then(|| count_instructions(&cli, place)).transpose() {
            Ok(instructions) => instructions.map(|all| all / (TURNS_COUNTED * case.consumers) as f64),
            Err(error) => {
                progress.finish_and_clear();
                let _ = writeln!(io::stderr(), "forward_table: {error}");
                return ExitCode::FAILURE;
            }
        };
        rows.push((nanoseconds(*case), instructions));
        progress.inc(1);
    }
    progress.finish_and_clear();
    match write_table(&cases, &rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn take_turns(case: Case) {
    let mut rooms = Rooms::new(case.media, case.consumers, case.heat);
    for _ in 0..TURNS_COUNTED {
        let arrival = rooms.next_arrival();
        rooms.take_measured_turn(&arrival);
    }
}

/// The median of all turns, for one copy.
fn nanoseconds(case: Case) -> f64 {
    let mut rooms = Rooms::new(case.media, case.consumers, case.heat);
    let (end, mut turns) = (Instant::now() + MEASURED, Vec::new());
    while Instant::now() < end || turns.len() < TURNS_MIN {
        let arrival = rooms.next_arrival();
        let begun = Instant::now();
        rooms.take_measured_turn(&arrival);
        turns.push(begun.elapsed());
    }
    turns.sort_unstable();
    turns[turns.len() / 2].as_nanos() as f64 / case.consumers as f64
}

/// Runs a case under callgrind; the instructions of all its measured turns.
fn count_instructions(cli: &Cli, place: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program can't be found: {error}"))?;
    let consumers: Vec<String> = cli.consumers.iter().map(ToString::to_string).collect();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*take_measured_turn*")
        .arg(program)
        .args(["--consumers", &consumers.join(","), "--turns-of", &place.to_string()])
        .output()
        .map_err(|error| {
            format!(
                "valgrind can't be run: {error}; install it, or leave the instructions out with \
                                  --no-instructions"
            )
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted =
        said.lines().find_map(|line| line.split_once("Collected :")).and_then(|(_, all)| all.trim().parse().ok());
    match counted {
        Some(counted) if output.status.success() && counted > 0.0 => Ok(counted),
        _ => Err(format!("valgrind counted nothing ({}):\n{said}", output.status)),
    }
}

fn write_table(cases: &[Case], rows: &[(f64, Option<f64>)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "| media | consumers | rooms, cold | ns, hot | ns, cold | instructions, hot | instructions, cold |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let shown = |instructions: Option<f64>| instructions.map_or("–".into(), |all| format!("{all:.0}"));
    for (pair, rows) in cases.chunks(2).zip(rows.chunks(2)) {
        let ([Case { media, consumers, .. }, cold], [hot_row, cold_row]) = (pair, rows) else { continue };
        writeln!(
            out,
            "| {} | {consumers} | {} | {:.0} | {:.0} | {} | {} |",
            media.name(),
            cold.heat.rooms(*media, *consumers),
            hot_row.0,
            cold_row.0,
            shown(hot_row.1),
            shown(cold_row.1),
        )?;
    }
    Ok(())
}

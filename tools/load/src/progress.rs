//! What is shown while a run goes on: a live line on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows how a run goes, on standard error.
pub struct Progress {
    face: Face,
}

enum Face {
    Live(ProgressBar),
    Lines { shown_at: Option<Instant> },
    Silent,
}

impl Progress {
    /// Chooses by what standard error is; `is_quiet` shows nothing.
    pub fn new(is_quiet: bool) -> Self {
        let face = match is_quiet {
            true => Face::Silent,
            false if stderr().is_terminal() => Face::Live(bar()),
            false => Face::Lines { shown_at: None },
        };
        Self { face }
    }

    /// Shows the state: what is done of the whole, and a word on it.
    pub fn show(&mut self, done: f64, words: &str) {
        match &mut self.face {
            Face::Live(bar) => {
                bar.set_position((done.clamp(0.0, 1.0) * 1000.0) as u64);
                bar.set_message(words.to_owned());
            }
            Face::Lines { shown_at } => {
                if shown_at.is_none_or(|shown_at| shown_at.elapsed() >= LINE_INTERVAL) {
                    *shown_at = Some(Instant::now());
                    // Who closed the stream does not want to know.
                    let _ = writeln!(stderr(), "{words}");
                }
            }
            Face::Silent => {}
        }
    }

    /// Takes the live line away.
    pub fn clear(&self) {
        if let Face::Live(bar) = &self.face {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("[{bar:30}] {msg}") {
        bar.set_style(style);
    }
    bar
}

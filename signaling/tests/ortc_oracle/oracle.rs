//! mediasoup's own negotiation, run by Node beside the test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// The program that answers.
pub(crate) struct Oracle {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts the program; panics with what mends it where it cannot run.
    pub(crate) fn start() -> Self {
        let folder = folder();
        let mend = format!("`npm ci --ignore-scripts` in {} installs the reference", folder.display());
        assert!(folder.join("node_modules/mediasoup/node/lib/ortc.js").is_file(), "mediasoup is missing: {mend}");
        let mut process = Command::new("node")
            .arg(folder.join("oracle.js"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("node does not start ({error}): Node 20 or later must be installed"));
        let questions = process.stdin.take().expect("standard input is a pipe");
        let answers = BufReader::new(process.stdout.take().expect("standard output is a pipe"));
        Self { process, questions, answers }
    }

    /// The reference's result, or its error.
    pub(crate) fn ask(&mut self, function: &str, arguments: &Value) -> Result<Value, String> {
        let question = serde_json::json!({ "function": function, "arguments": arguments });
        writeln!(self.questions, "{question}").expect("the reference takes questions");
        let mut line = String::new();
        let len = self.answers.read_line(&mut line).expect("the reference answers");
        assert!(len > 0, "the reference ended: its own words are above");
        let mut answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["result"].take()),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It waits for questions for as long as the pipe is open.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/ortc-oracle")
}

//! Lists the RTP streams of a capture.

use std::fmt::Write;

use capture::{Capture, Filter, StreamDescription};

use crate::cli::InspectArgs;
use crate::error::LoadError;

/// What an inspection shows.
pub struct Inspection {
    /// The list, for standard output.
    pub text: String,
    /// Where the file stops to make sense, if it does.
    pub damage: Option<String>,
}

/// Reads the capture and lists its streams.
///
/// # Errors
/// Where the file is no capture.
pub fn inspect(args: &InspectArgs) -> Result<Inspection, LoadError> {
    let filter = Filter { port: args.port, ssrc: args.ssrc };
    let capture = Capture::read(&args.file, &filter)
        .map_err(|error| LoadError::Capture { path: args.file.clone(), reason: error.to_string() })?;
    let descriptions = capture.descriptions();
    let text = if args.json {
        let text = serde_json::to_string_pretty(&descriptions);
        text.map_err(|error| LoadError::System(format!("the list can't be written as JSON: {error}")))? + "\n"
    } else {
        list(&descriptions)
    };
    let damage = capture.damage.map(|damage| format!("{}: {damage}", args.file.display()));
    Ok(Inspection { text, damage })
}

fn list(descriptions: &[StreamDescription]) -> String {
    if descriptions.is_empty() {
        return "no RTP was found; where it is known to be there, choose it by --port or --ssrc\n".into();
    }
    let mut text = format!(
        "{:<12}{:>4}  {:<8}{:>10}{:>10}{:>9}{:>9}{:>10}{:>9}  {}\n",
        "SSRC", "type", "codec", "packets", "kbit/s", "lost", "repeated", "reordered", "seconds", "from → to"
    );
    for stream in descriptions {
        let codec = match (stream.retransmits_ssrc, stream.codec) {
            (Some(_), _) => "rtx",
            (None, Some(codec)) => codec.name(),
            (None, None) => "?",
        };
        let note = match (stream.retransmits_ssrc, stream.looks_encrypted) {
            (Some(original), _) => format!("  retransmits {original:#010x}"),
            (None, Some(true)) => "  looks encrypted".into(),
            _ => String::new(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<#12x}{:>4}  {codec:<8}{:>10}{:>10.1}{:>9}{:>9}{:>10}{:>9.1}  {} → {}{note}",
            stream.ssrc,
            stream.payload_type,
            stream.packets,
            stream.bit_rate_bps as f64 / 1000.0,
            stream.lost,
            stream.repeated,
            stream.reordered,
            stream.duration_ms as f64 / 1000.0,
            stream.source,
            stream.destination
        );
    }
    text
}

//! The limit as a program, with few packets: what is sent on loopback comes out, in every way to send and to run.
#![allow(clippy::expect_used, reason = "a test that cannot go on is to fail where it stands")]

use std::process::{Command, Output};

use serde_json::Value;

fn limit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_limit")).args(arguments).output().expect("the program runs")
}

#[test]
fn everything_sent_on_loopback_is_drained() {
    let small = ["--rooms", "3", "--members", "4", "--speakers", "2", "--rounds", "1", "--json"];
    let free = ["--burst", "4", "--packet-len", "1200"];
    let paced = ["--pace", "10ms", "--round", "100ms", "--burst", "2"];
    // On a busy host a turn may come between the two packets of a burst, and then finds one.
    for (mode, packets_of_round, joined_max) in [(&free[..], None, 0.25), (&paced, Some(3 * 2 * 10 * 2), 0.99)] {
        let output = limit(&[&small, mode].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        let (sent, drained) = (&report["datagrams_sent"], &report["datagrams_drained"]);
        assert_eq!(sent, drained, "{report}");
        let variants = report["variants"].as_array().expect("a list");
        assert_eq!(variants.len(), 6);
        if let Some(packets) = packets_of_round {
            // Five variants send, in two rounds; three hear each packet.
            assert_eq!(sent.as_u64(), Some(5 * 2 * 3 * packets));
        }
        for variant in variants {
            let sends = variant["sends_per_packet"].as_f64().expect("a number");
            let name = variant["variant"].as_str().expect("a name");
            match name {
                "crypto" => assert_eq!(sends, 0.0),
                "gso" | "connected-gso" => assert!(sends > 0.0 && sends <= joined_max, "{name}: {sends}"),
                _ => assert_eq!(sends, 1.0, "{name}"),
            }
            assert!(variant["cpu_ns_per_packet"].as_f64().is_some_and(|nanoseconds| nanoseconds > 0.0));
        }
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_a_reason() {
    for (arguments, reason) in [
        (&["--members", "1"][..], "--members 1"),
        (&["--speakers", "11"], "--speakers 11"),
        (&["--packet-len", "28"], "29 to 1472"),
        (&["--pace", "0ms"], "longer than nothing"),
        (&["--rooms", "100000"], "at most 20000 members"),
    ] {
        let output = limit(arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}

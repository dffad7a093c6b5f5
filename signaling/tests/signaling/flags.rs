//! What the command line says and takes.

use crate::harness::{SECRET, command, run};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_tells_defaults_and_examples() {
    let help = text(&run(&["--help"], &[]).stdout);
    for part in ["--port", "[default: 3003]", "[default: 40000]", "Examples:", "voice-service --dev", "JWT_SECRET"] {
        assert!(help.contains(part), "{part} is missing");
    }
    assert!(!help.contains("--jwt-secret "), "secrets are no flags");
    assert!(help.contains("- open:") && !help.contains("- redis:") && !help.contains("- http:"), "{help}");
    let (_, unused) = help.split_once("Accepted, and not used yet").unwrap();
    assert!(unused.contains("--redis-url") && unused.contains("--turn-port"), "{unused}");
}

#[test]
fn without_a_secret_it_refuses_and_says_how_to_mend_it() {
    let refused = run(&[], &[]);
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(said.contains("JWT_SECRET") && said.contains("--jwt-secret-file") && said.contains("--dev"), "{said}");
}

#[test]
fn a_dry_run_shows_the_plan_and_needs_no_secret() {
    let shown = run(&["--dry-run", "--shards", "1", "--rtc-min-port", "41000", "--rtc-max-port", "41099"], &[]);
    let plan = text(&shown.stdout);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert!(plan.contains("shard") && plan.contains("41000-41099"), "{plan}");
}

#[test]
fn what_the_host_cannot_do_is_refused_with_its_cause() {
    let secret = [("JWT_SECRET", SECRET)];
    for (flags, part) in [
        (&["--cpuset", "0,0"][..], "twice"),
        (&["--cpuset", "x"], "neither"),
        (&["--cpuset", "4000"], "4000"),
        (&["--shards", "1000"], "1000"),
        (&["--shards", "0"], "shard"),
        (&["--rtc-min-port", "45000", "--rtc-max-port", "44000"], "--rtc-min-port"),
        (&["--max-incoming-bitrate", "3000"], "128000 bit/s"),
        (&["--permissions", "redis"], "not available yet"),
        (&["--permissions", "http"], "not available yet"),
        (&["--dev", "--node-env", "production"], "production"),
        (&["--dev", "--http-ip", "0.0.0.0"], "loopback"),
        (&["--jwt-secret-file", "/nowhere"], "/nowhere"),
        (&["--config", "/nowhere"], "/nowhere"),
        (&["--port", "abc"], "a whole number from 0 to 65535"),
    ] {
        let refused = run(flags, &secret);
        assert!(!refused.status.success(), "{flags:?}");
        assert!(text(&refused.stderr).starts_with("error: "), "{flags:?}: {}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains(part), "{flags:?}: {}", text(&refused.stderr));
    }
}

#[test]
fn the_environment_says_what_flags_say_and_a_flag_counts_more() {
    let environment = [("RTC_MIN_PORT", "41100"), ("RTC_MAX_PORT", "41199"), ("SHARDS", "1")];
    let shown = run(&["--dry-run"], &environment);
    assert!(text(&shown.stdout).contains("41100-41199"), "{}", text(&shown.stderr));
    let shown = run(&["--dry-run", "--rtc-max-port", "41149"], &environment);
    assert!(text(&shown.stdout).contains("41100-41149"));
    let cap = [("MAX_INCOMING_BITRATE", "3000")];
    assert!(!run(&["--dry-run", "--shards", "1"], &cap).status.success());
    assert!(run(&["--dry-run", "--shards", "1", "--max-incoming-bitrate", "3000000"], &cap).status.success());
}

#[test]
fn a_token_needs_the_secret_and_a_sensible_user() {
    let refused = run(&["token", "--user", "alice"], &[]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("no secret to sign the token with"), "{}", text(&refused.stderr));
    let secret = [("JWT_SECRET", SECRET)];
    assert!(!run(&["token", "--user", "a b"], &secret).status.success());
    let printed = run(&["token", "--user", "alice", "--expires-in", "1h"], &secret);
    assert!(printed.status.success());
    assert_eq!(text(&printed.stdout).trim().split('.').count(), 3);
}

#[test]
fn a_token_comes_alone_on_standard_output_and_in_a_link_on_standard_error() {
    let arguments = ["token", "--user", "alice", "--public-ip", "192.0.2.1", "--port", "4000"];
    let printed = run(&arguments, &[("JWT_SECRET", SECRET)]);
    let token = text(&printed.stdout).trim_end().to_owned();
    assert_eq!((token.lines().count(), token.split('.').count()), (1, 3));
    let told = text(&printed.stderr);
    assert!(told.contains(&format!("http://192.0.2.1:4000/#room=lobby&token={token}\n")), "{told}");
    assert!(!told.contains("shorter than 32 bytes"), "{told}");
    let weak = text(&run(&arguments, &[("JWT_SECRET", "short")]).stderr);
    assert!(weak.contains("shorter than 32 bytes"), "{weak}");
}

#[test]
fn a_secret_is_never_shown() {
    let mut help = command(&["--help"]);
    let shown = help.env("JWT_SECRET", SECRET).env("REDIS_URL", "redis://:hidden@host").output().unwrap();
    assert!(!text(&shown.stdout).contains(SECRET) && !text(&shown.stdout).contains("hidden"));
}

//! The service's negotiation against mediasoup's own, on real browsers' parameters, on chosen cases and on random ones.
//!
//! The program beside the reference, `tools/ortc-oracle/capture.js`, records the browsers; `cases.json` holds the
//! chosen cases. A case with `departs` must differ by just that departure; all others must agree.

// The lint sees tests in functions that are marked so, and not in what those call.
#![allow(clippy::expect_used)]

mod cases;
mod departure;
mod mutation;
mod oracle;
mod service;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use signaling::ortc::{DEPARTURES, router_capabilities};

use cases::{Case, browser_cases, chosen_cases, media_codecs, router};
use departure::Comparison;
use oracle::Oracle;

/// How many random questions are asked: some seconds' worth.
const MUTATIONS: usize = 4000;

fn compare(oracle: &mut Oracle, case: &Case) -> Comparison {
    Comparison {
        theirs: oracle.ask(&case.function, &case.arguments),
        ours: service::ask(&case.function, &case.arguments),
        function: case.function.clone(),
        arguments: case.arguments.clone(),
    }
}

#[test]
fn the_router_of_every_room_is_the_reference_s_for_the_same_codecs() {
    let ours = json!(router_capabilities().expect("the service's own codecs make a router"));
    assert_eq!(ours, router(), "router.json, which captures are made with, is out of date");
    let arguments = json!({ "mediaCodecs": media_codecs() });
    let function = "routerCapabilities".to_owned();
    let theirs = Oracle::start().ask(&function, &arguments);
    let comparison = Comparison { function, arguments, theirs, ours: Ok(ours) };
    comparison.check(|_| false).expect("no departure is needed");
}

#[test]
fn real_browsers_get_what_the_reference_gives_them() {
    let mut oracle = Oracle::start();
    for case in browser_cases() {
        let comparison = compare(&mut oracle, &case);
        assert!(comparison.theirs.is_ok(), "{}: {:?}", case.name, comparison.theirs);
        if let Err(difference) = comparison.check(|_| true) {
            panic!("{}: {difference}", case.name);
        }
    }
}

#[test]
fn chosen_cases_agree_or_depart_as_they_say() {
    let mut oracle = Oracle::start();
    for case in chosen_cases() {
        let comparison = compare(&mut oracle, &case);
        if let Err(difference) = comparison.check(|_| true) {
            panic!("{}: {difference}", case.name);
        }
        if let Some(departs) = &case.departs {
            let without = comparison.check(|departure| departure != departs);
            assert!(without.is_err(), "{} does not depart by {departs}", case.name);
        }
    }
}

#[test]
fn every_departure_is_listed_and_shown_by_a_case() {
    let shown: Vec<_> = chosen_cases().into_iter().filter_map(|case| case.departs).collect();
    for departure in DEPARTURES {
        assert!(shown.iter().any(|name| name == departure.name), "no case shows {}", departure.name);
    }
    for name in shown {
        assert!(DEPARTURES.iter().any(|departure| departure.name == name), "{name} is not listed");
    }
}

#[test]
fn random_changes_are_answered_alike() {
    let seed = std::env::var("ORTC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut oracle = Oracle::start();
    let bases: Vec<_> = browser_cases().into_iter().chain(chosen_cases()).collect();
    let mut accepted = 0;
    for round in 0..MUTATIONS {
        let mut case = bases[rng.random_range(0..bases.len())].clone();
        let part = match case.function.as_str() {
            "routerCapabilities" => "mediaCodecs",
            "validateCapabilities" => "rtpCapabilities",
            "validateParameters" => "rtpParameters",
            _ if rng.random_bool(0.3) => "rtpCapabilities",
            _ => "rtpParameters",
        };
        mutation::mutate(&mut case.arguments[part], &mut rng);
        let comparison = compare(&mut oracle, &case);
        accepted += usize::from(comparison.ours.is_ok());
        if let Err(difference) = comparison.check(|_| true) {
            let (name, function, changed) = (&case.name, &case.function, &case.arguments[part]);
            panic!("ORTC_SEED={seed}, round {round}, {function} of {name}: {difference}\n{part}: {changed}");
        }
    }
    // Were nearly all refused, the comparison would say little about results.
    assert!(accepted > MUTATIONS / 4, "only {accepted} of {MUTATIONS} were accepted");
}

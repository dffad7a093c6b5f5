//! The service's negotiation, asked in the same words as the reference.

use serde_json::{Value, json};
use shard_protocol::tables::Ssrc;
use signaling::ortc::{
    ConsumerStreams, OrtcError, RtpCapabilities, RtpEncodingParameters, RtpParameters, can_consume,
    common_capabilities, consumable_parameters, consumer_parameters, generate_router_capabilities, parse_kind,
    producer_mapping,
};

/// The participant's canonical name, as the service gives it; the reference takes it where the question has none.
pub(crate) const CNAME: &str = "cname";

/// The SSRC of a consumer; that of its retransmissions is the next.
pub(crate) const CONSUMER_SSRC: u32 = 1;

/// The service's result, or its error.
pub(crate) fn ask(function: &str, arguments: &Value) -> Result<Value, OrtcError> {
    match function {
        "routerCapabilities" => Ok(json!(router(arguments)?)),
        "validateCapabilities" => Ok(json!(RtpCapabilities::from_json(&arguments["rtpCapabilities"])?)),
        "validateParameters" => Ok(json!(RtpParameters::from_json(&arguments["rtpParameters"])?)),
        "negotiate" => negotiate(arguments),
        _ => panic!("no such function: {function}"),
    }
}

fn router(arguments: &Value) -> Result<RtpCapabilities, OrtcError> {
    // A router's codecs are not read from requests, so they have no reader of their own.
    let codecs = &arguments["mediaCodecs"];
    let codecs = if codecs.is_array() { codecs.clone() } else { json!("no list") };
    let codecs = RtpCapabilities::from_json(&json!({ "codecs": codecs }))?.codecs;
    generate_router_capabilities(&codecs)
}

fn negotiate(arguments: &Value) -> Result<Value, OrtcError> {
    let router = router(arguments)?;
    let kind = arguments["kind"].as_str().and_then(parse_kind).expect("cases have a kind");
    let mut parameters = RtpParameters::from_json(&arguments["rtpParameters"])?;
    if parameters.encodings.is_empty() {
        parameters.encodings.push(RtpEncodingParameters::default());
    }
    parameters.rtcp.cname = Some(CNAME.to_owned());
    let mapping = producer_mapping(&mut parameters, &router)?;
    let consumable = consumable_parameters(kind, &parameters, &router, &mapping);
    let receiver = RtpCapabilities::from_json(&arguments["rtpCapabilities"])?;
    let consumer = |rtx_ssrc| {
        let streams = ConsumerStreams { mid: "0".to_owned(), ssrc: Ssrc(CONSUMER_SSRC), rtx_ssrc };
        let shared = consumer_parameters(&consumable, &common_capabilities(&receiver, &router), streams.clone()).ok();
        let parameters = consumer_parameters(&consumable, &receiver, streams).ok();
        assert_eq!(shared, parameters, "the part that a router can ask for answers otherwise than the whole");
        let mut parameters = parameters?;
        // The reference's transport, which is not asked, sets it later.
        assert_eq!(parameters.mid.take().as_deref(), Some("0"));
        Some(parameters)
    };
    Ok(json!({
        "rtpParameters": parameters,
        "mapping": { "codecs": mapping },
        "consumable": consumable,
        "canConsume": can_consume(&consumable, &receiver),
        "consumer": consumer(None),
        "consumerWithRtx": consumer(Some(Ssrc(CONSUMER_SSRC + 1))),
    }))
}

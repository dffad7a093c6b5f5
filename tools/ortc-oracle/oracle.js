// Answers questions about negotiation with mediasoup's own code.
//
// Each line of standard input is {function, arguments}; each line of standard output is {result} or {error}, in order.
import { createInterface } from 'node:readline';

import * as ortc from 'mediasoup/ortc';

// The transport's random name, for participants that give none.
const CNAME = 'cname';

const functions = {
	routerCapabilities({ mediaCodecs }) {
		return ortc.generateRouterRtpCapabilities(mediaCodecs);
	},

	validateCapabilities({ rtpCapabilities }) {
		ortc.validateAndNormalizeRtpCapabilities(rtpCapabilities);
		return rtpCapabilities;
	},

	validateParameters({ rtpParameters }) {
		ortc.validateAndNormalizeRtpParameters(rtpParameters);
		return rtpParameters;
	},

	// What a transport does for a produce and, beside it, for a consume by each kind of receiver.
	negotiate({ mediaCodecs, kind, rtpParameters, rtpCapabilities }) {
		const router = ortc.generateRouterRtpCapabilities(mediaCodecs);
		ortc.validateAndNormalizeRtpParameters(rtpParameters);
		if (rtpParameters.encodings.length === 0) {
			rtpParameters.encodings = [{}];
		}
		rtpParameters.rtcp.cname ||= CNAME;
		const mapping = ortc.getProducerRtpParametersMapping(rtpParameters, router);
		const consumable = ortc.getConsumableRtpParameters(kind, rtpParameters, router, mapping);
		ortc.validateAndNormalizeRtpCapabilities(rtpCapabilities);
		const consumer = enableRtx => {
			try {
				return ortc.getConsumerRtpParameters({
					consumableRtpParameters: consumable,
					remoteRtpCapabilities: rtpCapabilities,
					pipe: false,
					enableRtx,
				});
			} catch {
				return null;
			}
		};
		return {
			rtpParameters,
			mapping,
			consumable,
			canConsume: ortc.canConsume(consumable, rtpCapabilities),
			consumer: consumer(false),
			consumerWithRtx: consumer(true),
		};
	},
};

function answer(line) {
	try {
		const question = JSON.parse(line);
		return { result: functions[question.function](question.arguments) };
	} catch (error) {
		return { error: String(error) };
	}
}

for await (const line of createInterface({ input: process.stdin })) {
	process.stdout.write(`${JSON.stringify(answer(line))}\n`);
}

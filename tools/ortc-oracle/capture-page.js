// Runs in the page: loads a device and produces every kind of stream on a transport that leads nowhere.
import { Device, detectDevice } from 'mediasoup-client';

const layers = [
	{ maxBitrate: 150_000, maxFramerate: 15, scaleResolutionDownBy: 4, scalabilityMode: 'L1T3' },
	{ maxBitrate: 500_000, maxFramerate: 24, scaleResolutionDownBy: 2, scalabilityMode: 'L1T3' },
	{ maxBitrate: 1_500_000, maxFramerate: 30, scalabilityMode: 'L1T3' },
];

// A transport of a service that answers no packet: parameters are exchanged before any is sent.
const nowhere = {
	id: 'transport',
	iceParameters: { usernameFragment: 'ufrag', password: 'a-password-of-22-chars', iceLite: true },
	iceCandidates: [
		{ foundation: 'udp', priority: 1, ip: '127.0.0.1', address: '127.0.0.1', protocol: 'udp', port: 9, type: 'host' },
	],
	dtlsParameters: {
		role: 'auto',
		fingerprints: [{ algorithm: 'sha-256', value: Array(32).fill('AB').join(':') }],
	},
};

function streams(device, audio, video) {
	const codec = mimeType =>
		device.sendRtpCapabilities.codecs.find(own => own.mimeType.toLowerCase() === mimeType.toLowerCase());
	const simulcast = mimeType => ({ track: video, codec: codec(mimeType), encodings: layers.map(layer => ({ ...layer })) });
	const single = (mimeType, encodings) => ({ track: video, codec: codec(mimeType), encodings });
	return {
		microphone: { track: audio },
		'microphone, stereo told': { track: audio, codecOptions: { opusStereo: true, opusDtx: true, opusFec: true } },
		camera: { track: video },
		'camera, simulcast VP8': simulcast('video/VP8'),
		'camera, simulcast H264': simulcast('video/H264'),
		'camera, VP9': single('video/VP9'),
		'camera, VP9 layered': single('video/VP9', [{ scalabilityMode: 'L3T3_KEY', maxBitrate: 1_500_000 }]),
		'camera, H264': single('video/H264'),
		'camera, AV1': single('video/AV1'),
	};
}

async function produce(device, name, options) {
	const transport = device.createSendTransport({ ...nowhere, id: name });
	const parameters = new Promise((resolve, reject) => {
		transport.on('connect', (_, done) => done());
		transport.on('produce', ({ kind, rtpParameters }, done) => {
			resolve({ name, kind, rtpParameters });
			done({ id: name });
		});
		transport.produce({ ...options, stopTracks: false }).catch(reject);
	});
	try {
		return await parameters;
	} finally {
		transport.close();
	}
}

window.capture = async routerRtpCapabilities => {
	const device = new Device();
	const native = await device._handlerFactory.getNativeRtpCapabilities({ direction: 'recvonly' });
	await device.load({ routerRtpCapabilities });
	const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
	const wanted = streams(device, stream.getAudioTracks()[0], stream.getVideoTracks()[0]);
	const producers = [];
	for (const [name, options] of Object.entries(wanted)) {
		if ('codec' in options && !options.codec) {
			continue;
		}
		producers.push(await produce(device, name, options));
	}
	return {
		handler: detectDevice(),
		nativeRtpCapabilities: native,
		rtpCapabilities: device.recvRtpCapabilities,
		producers,
	};
};

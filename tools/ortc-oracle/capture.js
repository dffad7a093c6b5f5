// Records what mediasoup-client says in the installed Chromium and Firefox: the test's fixtures of real browsers.
//
// `node capture.js` rewrites signaling/tests/ortc_oracle/{chromium,firefox}.json. To be run anew for a new browser or client.
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';

import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

const TEST = new URL('../../signaling/tests/ortc_oracle/', import.meta.url);

const browsers = {
	chromium: {
		browser: 'chrome',
		executablePath: '/usr/bin/chromium',
		args: [
			'--no-sandbox',
			'--disable-quic',
			'--no-first-run',
			'--disable-background-networking',
			'--disable-component-update',
			'--disable-sync',
			'--use-fake-device-for-media-stream',
			'--use-fake-ui-for-media-stream',
			'--allow-loopback-in-peer-connection',
		],
	},
	firefox: {
		browser: 'firefox',
		executablePath: '/usr/bin/firefox-esr',
		extraPrefsFirefox: {
			'media.navigator.streams.fake': true,
			'media.navigator.permission.disabled': true,
			'permissions.default.camera': 1,
			'permissions.default.microphone': 1,
			'media.peerconnection.ice.loopback': true,
			'media.autoplay.default': 0,
		},
	},
};

async function bundle() {
	const built = await build({
		entryPoints: [new URL('capture-page.js', import.meta.url).pathname],
		bundle: true,
		format: 'iife',
		write: false,
		logLevel: 'error',
	});
	return built.outputFiles[0].text;
}

// A browser lends microphone and camera to a page of localhost only.
async function serve(script) {
	const server = createServer((request, response) => {
		const isScript = request.url === '/page.js';
		response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
		response.end(isScript ? script : '<!doctype html><meta charset="utf-8"><script src="/page.js"></script>');
	});
	await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
	return server;
}

const router = JSON.parse(await readFile(new URL('router.json', TEST), 'utf8'));
const server = await serve(await bundle());
try {
	for (const [name, options] of Object.entries(browsers)) {
		const browser = await puppeteer.launch({ headless: true, ...options });
		try {
			const page = await browser.newPage();
			page.on('console', message => console.error(`${name}: ${message.text()}`));
			await page.goto(`http://localhost:${server.address().port}/`);
			const captured = await page.evaluate(capabilities => window.capture(capabilities), router);
			const file = new URL(`${name}.json`, TEST);
			await writeFile(file, `${JSON.stringify({ version: await browser.version(), ...captured }, null, '\t')}\n`);
			console.log(`${name}: ${captured.producers.length} producers`);
		} finally {
			await browser.close();
		}
	}
} finally {
	server.close();
}

// Real browsers for the tests: Debian's Chromium and Firefox ESR, headless, with loopback open to WebRTC.

import { execFileSync } from 'node:child_process';
import puppeteer from 'puppeteer-core';

/** A page on a machine with two busy cores may take long for what usually takes no time. */
const PROTOCOL_TIMEOUT_MS = 120_000;

/** Whoever is asked in Chromium what to share shares the tab with this title. */
export const SHARED_TITLE = 'Tab to be shared';

const CHROMIUM_ARGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Test machines run as root, where Chromium's sandbox does not.
  '--no-sandbox',
  '--disable-dev-shm-usage',
  // Pages that are not in front go on at full speed.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  '--autoplay-policy=no-user-gesture-required',
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  `--auto-select-tab-capture-source-by-title=${SHARED_TITLE}`,
];

const FIREFOX_PREFERENCES = {
  'media.autoplay.default': 0,
  'media.navigator.permission.disabled': true,
  'media.navigator.streams.fake': true,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  // Without these two it gathers no candidate of loopback.
  'permissions.default.camera': 1,
  'permissions.default.microphone': 1,
  'dom.min_background_timeout_value': 20,
};

export function launchChromium(environment = {}) {
  return puppeteer.launch({
    executablePath: find('CHROMIUM', 'chromium'),
    args: CHROMIUM_ARGS,
    // A tab that is shared is to be heard, and scrollbars take room as they do on a desktop.
    ignoreDefaultArgs: ['--mute-audio', '--hide-scrollbars'],
    env: { ...process.env, ...environment },
    protocolTimeout: PROTOCOL_TIMEOUT_MS,
  });
}

/** `environment` is added to the program's own. */
export function launchFirefox(environment = {}) {
  return puppeteer.launch({
    browser: 'firefox',
    env: { ...process.env, ...environment },
    executablePath: find('FIREFOX', 'firefox-esr'),
    extraPrefsFirefox: FIREFOX_PREFERENCES,
    protocolTimeout: PROTOCOL_TIMEOUT_MS,
  });
}

/** The program that an environment variable names, else the one on the path. */
function find(variable, command) {
  return process.env[variable] ?? execFileSync('which', [command], { encoding: 'utf8' }).trim();
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cameraEncodings, ladderOf, screenEncodings, screenSoundOptions, voiceOptions } from '../src/encodings';

const LAYERS = [
  { scalabilityMode: 'L1T1', maxBitrate: 150_000, maxFramerate: 15 },
  { scalabilityMode: 'L1T2', maxBitrate: 500_000, maxFramerate: 24 },
  { scalabilityMode: 'L1T3', maxBitrate: 1_500_000, maxFramerate: 30 },
];

test('a camera is sent at each layer of the settings, every one half as high as the next', () => {
  assert.deepEqual(cameraEncodings(LAYERS, 'simulcast'), [
    { maxBitrate: 150_000, maxFramerate: 15, scaleResolutionDownBy: 4, scalabilityMode: 'L1T3' },
    { maxBitrate: 500_000, maxFramerate: 24, scaleResolutionDownBy: 2, scalabilityMode: 'L1T3' },
    { maxBitrate: 1_500_000, maxFramerate: 30, scaleResolutionDownBy: 1, scalabilityMode: 'L1T3' },
  ]);
});

test('layers within one encoding may have together what they have apart', () => {
  assert.deepEqual(cameraEncodings(LAYERS, 'svc'), [
    { maxBitrate: 2_150_000, maxFramerate: 30, scalabilityMode: 'L3T3_KEY' },
  ]);
});

test('where there are no layers the highest alone is sent', () => {
  assert.deepEqual(cameraEncodings(LAYERS, 'single'), [{ maxBitrate: 1_500_000, maxFramerate: 30 }]);
});

test('settings that say nothing leave everything to the browser', () => {
  assert.deepEqual(cameraEncodings([], 'simulcast'), [{}]);
  assert.deepEqual(cameraEncodings([{}], 'simulcast'), [{ scaleResolutionDownBy: 1, scalabilityMode: 'L1T1' }]);
});

test('layers in time alone come with what the highest layer may have', () => {
  assert.deepEqual(cameraEncodings(LAYERS, 'temporal'), [
    { maxBitrate: 1_500_000, maxFramerate: 30, scalabilityMode: 'L1T3' },
  ]);
});

test('VP9 and AV1 carry their layers in one encoding where the browser knows how', () => {
  assert.equal(ladderOf('video/VP8', true), 'simulcast');
  assert.equal(ladderOf('video/H264', false), 'simulcast');
  assert.equal(ladderOf('video/VP9', true), 'svc');
  assert.equal(ladderOf('video/VP9', false), 'single');
  assert.equal(ladderOf('video/AV1', true), 'temporal');
  assert.equal(ladderOf('video/AV1', false), 'single');
});

test('a screen is one encoding within what the service lets it have', () => {
  const [encoding, ...others] = screenEncodings();
  assert.deepEqual(others, []);
  assert.ok((encoding?.maxBitrate ?? Infinity) < 4_000_000);
});

test('a voice is encoded as the settings say', () => {
  const opus = { useinbandfec: 1, usedtx: 0, maxaveragebitrate: 128_000, maxplaybackrate: 48_000, stereo: 1 };
  assert.deepEqual(voiceOptions(opus), {
    opusStereo: true,
    opusFec: true,
    opusDtx: false,
    opusMaxPlaybackRate: 48_000,
    opusMaxAverageBitrate: 128_000,
  });
});

test('of the sound of a screen nothing is left out', () => {
  assert.deepEqual(screenSoundOptions({ usedtx: 1, stereo: 1 }), { opusStereo: true, opusFec: true, opusDtx: false });
});

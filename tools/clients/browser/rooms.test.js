// Rooms on both shards: each hears itself and no other.

import assert from 'node:assert/strict';
import { eventually } from '../eventually.js';
import { scenario } from '../scenario.js';
import { Signaling } from '../signaling.js';

const SHARDS = ['0', '1'];

scenario('rooms on both shards hear themselves and no other', { shards: 2 }, async (stage) => {
  const rooms = await roomsByShard(stage.service, 2);
  const circles = [];
  for (const [place, room] of [...rooms['0'], ...rooms['1']].entries()) {
    // One Firefox on each shard.
    const kind = place % 2 ? 'firefox' : 'chromium';
    circles.push([await stage.join(`anna-${place}`, room), await stage.join(`ben-${place}`, room, kind)]);
  }
  const metrics = await stage.service.metrics();
  for (const shard of SHARDS) assert.equal(metrics.sum('voice_shard_routers', { shard }), 2, `rooms on shard ${shard}`);

  for (const [anna, ben] of circles) {
    await anna.sees(anna.userId, ben.userId);
    await anna.hears(ben);
    await ben.hears(anna);
  }
  // The same person in another room is heard there and no longer here.
  const [[anna, ben], , [cleo, dan]] = circles;
  await anna.leave();
  await anna.join(stage.link(anna.userId, rooms['1'][0]));
  await anna.hears(cleo, dan);
  await cleo.hears(anna, dan);
  await ben.hears();
});

/** Names of rooms that the service puts on each shard, found by opening rooms that nobody speaks in. */
async function roomsByShard(service, count) {
  const found = Object.fromEntries(SHARDS.map((shard) => [shard, []]));
  for (let place = 0; SHARDS.some((shard) => found[shard].length < count); place++) {
    assert.ok(place < 100, `a hundred rooms are not all on one shard: ${JSON.stringify(found)}`);
    const room = `room-${place}`;
    const scout = await Signaling.connect(service, service.token('scout'));
    await scout.request('join', { channelId: room, rtpCapabilities: scout.routerRtpCapabilities });
    const shard = await eventually(`${room} is on a shard`, () => shardInUse(service));
    if (found[shard].length < count) found[shard].push(room);
    await scout.close();
    await eventually(`${room} is closed`, async () => (await shardInUse(service)) === undefined);
  }
  return found;
}

/** The shard that has a room, while there is one room in all. */
async function shardInUse(service) {
  const metrics = await service.metrics();
  return SHARDS.find((shard) => metrics.sum('voice_shard_routers', { shard }) > 0);
}

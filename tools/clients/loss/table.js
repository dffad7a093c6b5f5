// Prints how calls of real browsers do where packets are lost, as a table in Markdown. The losses, in per cent, are its
// arguments; `SECONDS` is how long each is measured. As root: npm run loss -- 1 5 10

import { measureCall, obstacle, tableOf } from './measurement.js';

const losses = process.argv.length > 2 ? process.argv.slice(2) : ['0', '1', '5', '10'];
const seconds = Number(process.env.SECONDS ?? 30);

if (obstacle()) throw new Error(obstacle());
console.log(tableOf(await measureCall(losses, seconds)));

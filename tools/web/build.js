// Builds the page into dist/. Scripts and styles get names with a hash of their content, so that they may be cached for
// ever; index.html names them and is never cached.

import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(root, 'dist');

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: { app: 'src/main.ts', style: 'src/style.css' },
  outdir: 'dist/assets',
  entryNames: '[name]-[hash]',
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022'],
  // The licences of what is bundled stand at the end of the script.
  legalComments: 'eof',
  metafile: true,
  logLevel: 'warning',
});

let page = await readFile(path.join(root, 'src/index.html'), 'utf8');
for (const [output, { entryPoint, bytes }] of Object.entries(metafile.outputs)) {
  if (!entryPoint) continue;
  const name = output.replace(/^dist\//, '');
  page = page.replace(`{{${entryPoint}}}`, `/${name}`);
  console.log(`${name}  ${Math.ceil(bytes / 1024)} KiB`);
}
if (page.includes('{{')) throw new Error('index.html names a file that was not built');
await writeFile(path.join(dist, 'index.html'), page);
await cp(path.join(root, 'static'), dist, { recursive: true });

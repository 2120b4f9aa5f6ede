// Is the whole app small enough? What counts is every file of dist/ as it goes over the wire, gzipped.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

// Half a second from a Raspberry Pi over a slow wireless network.
const LIMIT_BYTES = 150_000;
const dist = new URL('../dist/', import.meta.url).pathname;

const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
const sizes = files.map((file) => [file.slice(dist.length), gzipSync(readFileSync(file), { level: 9 }).length]);
sizes.sort((a, b) => b[1] - a[1]);
let total = 0;
for (const [name, size] of sizes) {
  total += size;
  console.log(`${String(size).padStart(8)}  ${name}`);
}
console.log(`${String(total).padStart(8)}  of ${LIMIT_BYTES} bytes, gzipped`);
if (total > LIMIT_BYTES) {
  console.error(`the app is ${total - LIMIT_BYTES} bytes too large`);
  process.exit(1);
}

// An image's manifest and parcels as bytes: image/src/manifest/bytes.rs and image/src/parcel.rs say how.

/** 1 MiB, as the controller cuts uploads itself: equal chunks are kept once only when they are cut alike. */
export const CHUNK_BYTES = 1 << 20;
const MAGIC = 'ENFIMG1\n';
const HEAD = 28;
const RAW = 1;

/** The manifest of a disk of `size` bytes with sectors of 512; `null` is a chunk of zeros, which is a hole. */
export function encodeManifest(size: number, ids: (Uint8Array | null)[]): Uint8Array<ArrayBuffer> {
  const runs = runsOf(ids);
  const count = runs.reduce((sum, run) => sum + run.ids.length, 0);
  const bytes = new Uint8Array(HEAD + runs.length * 8 + count * 32);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  view.setBigUint64(8, BigInt(size), true);
  view.setUint32(16, 512, true);
  view.setUint32(20, CHUNK_BYTES, true);
  view.setUint32(24, runs.length, true);
  let at = HEAD;
  for (const run of runs) {
    view.setUint32(at, run.first, true);
    view.setUint32(at + 4, run.ids.length, true);
    at += 8;
    for (const id of run.ids) {
      bytes.set(id, at);
      at += 32;
    }
  }
  return bytes;
}

function runsOf(ids: (Uint8Array | null)[]): { first: number; ids: Uint8Array[] }[] {
  const runs: { first: number; ids: Uint8Array[] }[] = [];
  ids.forEach((id, index) => {
    if (!id) return;
    const last = runs.at(-1);
    if (last && last.first + last.ids.length === index) last.ids.push(id);
    else runs.push({ first: index, ids: [id] });
  });
  return runs;
}

/** A chunk on its way: id, form, length (big-endian), the bytes. */
export function parcel(id: Uint8Array, bytes: Uint8Array): Uint8Array[] {
  const head = new Uint8Array(37);
  head.set(id);
  head[32] = RAW;
  new DataView(head.buffer).setUint32(33, bytes.length);
  return [head, bytes];
}

export function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i += 1) if (bytes[i] !== 0) return false;
  return true;
}

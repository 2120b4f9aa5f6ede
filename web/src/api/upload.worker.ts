// Cuts, hashes and sends a raw disk beside the page: chunks of 1 MiB, named by BLAKE3, in parcels (docs/PROTOCOL.md).
import { blake3 } from '@noble/hashes/blake3.js';
import { open } from './client';
import { CHUNK_BYTES, encodeManifest, isZero, parcel } from './manifest';
import { Refusal, problemOf, type Problem } from './problem';

export interface ToWorker {
  base: string;
  token: string;
  file: File;
  note: string;
}
export type FromWorker = { kind: 'progress'; done: number; known: number; finishing: boolean } | { kind: 'done' } | { kind: 'failed'; problem: Problem };

/** Chunks in one question and one body: 16 MiB are in memory at most. */
const BATCH = 16;
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

let asked: ToWorker;
const tell = (message: FromWorker) => postMessage(message);

onmessage = ({ data }: MessageEvent<ToWorker>) => {
  asked = data;
  send().then(
    () => tell({ kind: 'done' }),
    (error: unknown) => tell({ kind: 'failed', problem: problemOf(error) }),
  );
};

async function send(): Promise<void> {
  const { file } = asked;
  const ids: (Uint8Array | null)[] = [];
  let known = 0;
  for (let at = 0; at < file.size; at += BATCH * CHUNK_BYTES) {
    const chunks = await read(at);
    const named = chunks.map((bytes) => (isZero(bytes) ? null : blake3(bytes)));
    ids.push(...named);
    const data = named.flatMap((id, i) => (id ? [{ id, bytes: chunks[i] as Uint8Array }] : []));
    const missing = data.length > 0 ? await ask(data.map(({ id }) => hex(id))) : [];
    known += data.filter((_, i) => !missing.includes(i)).reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (missing.length > 0) await put(missing.map((i) => data[i]).filter((d) => d !== undefined));
    tell({ kind: 'progress', done: Math.min(file.size, at + BATCH * CHUNK_BYTES), known, finishing: false });
  }
  tell({ kind: 'progress', done: file.size, known, finishing: true });
  const note = asked.note ? `?note=${encodeURIComponent(asked.note)}` : '';
  await request('PUT', `/manifest${note}`, encodeManifest(file.size, ids), 'application/octet-stream');
}

async function read(at: number): Promise<Uint8Array[]> {
  const piece = new Uint8Array(await asked.file.slice(at, at + BATCH * CHUNK_BYTES).arrayBuffer());
  const chunks = [];
  for (let i = 0; i < piece.length; i += CHUNK_BYTES) chunks.push(piece.subarray(i, i + CHUNK_BYTES));
  return chunks;
}

async function ask(ids: string[]): Promise<number[]> {
  const answer = await request('POST', '/have', JSON.stringify({ ids }), 'application/json');
  return ((await answer.json()) as { missing: number[] }).missing;
}

async function put(data: { id: Uint8Array; bytes: Uint8Array }[]): Promise<void> {
  await request('PUT', '/chunks', new Blob(data.flatMap(({ id, bytes }) => parcel(id, bytes) as BlobPart[])), 'application/octet-stream');
}

/** What breaks on the way is tried again; what the controller refuses is not. */
async function request(method: string, path: string, body: BodyInit, kind: string): Promise<Response> {
  const extra: Record<string, string> = asked.token ? { authorization: `Bearer ${asked.token}` } : {};
  for (let tries = 0; ; tries += 1) {
    try {
      return await open(asked.base + path, { method, body, headers: { 'content-type': kind, ...extra } });
    } catch (error) {
      const pause = PAUSES_MS[tries];
      const passing = error instanceof Refusal && (error.problem.code === 'controller-unreachable' || error.problem.code === 'too-many-uploads');
      if (!passing || pause === undefined) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

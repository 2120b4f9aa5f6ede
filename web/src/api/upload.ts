// An image goes up. A raw disk is cut into chunks in a worker, and only those go that the store lacks: sent again after a
// break, after a reload, or as the next version, it goes on with what is missing. A packed one goes as it is, in one body.
import { connection, filled, headers, url } from './client';
import { Refusal, own, problemIn, unreachable } from './problem';
import type { FromWorker, ToWorker } from './upload.worker';

export interface Progress {
  step: 'Comparing and sending' | 'Sending' | 'Finishing';
  done: number;
  total: number;
  /** Bytes that the store had. */
  known: number;
  /** Whether it goes on where it broke. */
  resumes: boolean;
}
export interface Order {
  file: File;
  image: string;
  note: string;
  signal: AbortSignal;
  told: (progress: Progress) => void;
}

/** gzip, xz, zstd by their first bytes. */
const PACKED = ['1f8b', 'fd377a58', '28b52ffd'];
const SECTOR = 512;

export async function upload(order: Order): Promise<void> {
  const head = [...new Uint8Array(await order.file.slice(0, 4).arrayBuffer())].map((b) => b.toString(16).padStart(2, '0')).join('');
  if (PACKED.some((magic) => head.startsWith(magic))) return whole(order);
  if (order.file.size % SECTOR !== 0) throw new Refusal(own('not-a-disk', 'This is no image of a disk', `Its size, ${order.file.size} bytes, is not a whole number of sectors of ${SECTOR} bytes. Was it cut short?`));
  return chunked(order);
}

/** The uploader's random name; the same for the same file, so that the controller keeps what came before. */
function uploadName(order: Order): string {
  const key = `enforcer-upload ${order.image} ${order.file.name} ${order.file.size} ${order.file.lastModified}`;
  const fresh = crypto.randomUUID();
  try {
    const kept = sessionStorage.getItem(key) ?? fresh;
    sessionStorage.setItem(key, kept);
    return kept;
  } catch {
    return fresh;
  }
}

function chunked(order: Order): Promise<void> {
  const base = url(filled('/api/v1/images/{name}/uploads/{upload}', { name: order.image, upload: uploadName(order) }));
  const worker = new Worker(new URL('./upload.worker.ts', import.meta.url), { type: 'module' });
  return new Promise<void>((resolve, reject) => {
    order.signal.addEventListener('abort', () => reject(new Refusal(own('paused', 'The upload is paused', 'What came is kept for two hours. “Go on” sends the rest.'))));
    worker.onerror = (event) => reject(new Error(event.message || 'the upload stopped'));
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === 'failed') reject(new Refusal(data.problem));
      else if (data.kind === 'done') resolve();
      else order.told({ step: data.finishing ? 'Finishing' : 'Comparing and sending', done: data.done, total: order.file.size, known: data.known, resumes: true });
    };
    const asked: ToWorker = { base: new URL(base, location.href).href, token: connection.token, file: order.file, note: order.note };
    worker.postMessage(asked);
  }).finally(() => worker.terminate());
}

/** By XMLHttpRequest: fetch does not tell how much of a body has gone. */
function whole(order: Order): Promise<void> {
  const { file, signal, told } = order;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', url(filled('/api/v1/images/{name}/versions', { name: order.image }), { note: order.note }));
    for (const [name, value] of Object.entries(headers({ 'content-type': 'application/octet-stream' }))) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => told({ step: 'Sending', done: event.loaded, total: file.size, known: 0, resumes: false });
    request.onerror = () => reject(new Refusal(unreachable('the upload broke')));
    request.onabort = () => reject(new Refusal(own('stopped', 'The upload was stopped', 'Nothing of it is kept; send it again.')));
    request.onload = () => {
      if (request.status < 300) return resolve();
      const answer = new Response(request.responseText, { status: request.status, headers: { 'content-type': request.getResponseHeader('content-type') ?? '' } });
      void problemIn(answer).then((problem) => reject(new Refusal(problem)));
    };
    signal.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}


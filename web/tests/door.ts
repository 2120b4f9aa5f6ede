// How a test reaches a controller by its local socket: `enforcer web` before it, and the API as root speaks it.
import { spawn, type ChildProcess } from 'node:child_process';
import { request } from 'node:http';

export const PROGRAM = process.env.ENFORCER ?? new URL('../../target/debug/enforcer', import.meta.url).pathname;

export interface Door {
  /** Where the app is, with the token in it. */
  address: string;
  origin: string;
  token: string;
  process: ChildProcess;
}

/** `enforcer web` before the controller of `socket`, started as `user`: root when absent. */
export async function openDoor(socket: string, env: NodeJS.ProcessEnv, user: { uid?: number; gid?: number } = {}): Promise<Door> {
  const child = spawn(PROGRAM, ['--api-socket', socket, 'web', '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'], env, ...user });
  const address = await new Promise<string>((resolve, reject) => {
    let [said, log] = ['', ''];
    child.stdout?.on('data', (piece: Buffer) => /^(\S+)\n/.test((said += piece.toString())) && resolve(said.trim()));
    child.stderr?.on('data', (piece: Buffer) => (log += piece.toString()));
    child.once('exit', () => reject(new Error(`enforcer web ended:\n${log}`)));
  });
  return { address, origin: new URL(address).origin, token: address.split('#token=')[1] ?? '', process: child };
}

/** A request on the local socket, as root; its JSON. Bytes are sent as they are. */
export function ask<T>(socket: string, method: string, path: string, body?: unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    const text = body instanceof Uint8Array ? body : body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const sent = request({ socketPath: socket, method, path: `/api/v1${path}`, headers }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('end', () => {
        const said = Buffer.concat(pieces).toString();
        if ((answer.statusCode ?? 500) >= 300) reject(new Error(`${method} ${path}: ${answer.statusCode} ${said}`));
        else resolve((said ? JSON.parse(said) : {}) as T);
      });
    });
    sent.on('error', reject);
    sent.end(text);
  });
}

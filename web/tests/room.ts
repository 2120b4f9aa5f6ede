// A room with a real computer in it (tests/src/bin/lab-room.rs): somebody else's DHCP server, a controller, and a machine that is switched on
// when a test says so. The room's network is its own; its controller is reached by the local socket.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { ask, openDoor, type Door } from './door';

const PROGRAM = process.env.ENFORCER_LAB_ROOM ?? new URL('../../target/debug/lab-room', import.meta.url).pathname;

interface There {
  socket: string;
  /** The controller's state folder. */
  state: string;
  mac: string;
  disk_serial: string;
  /** A disk image whose system calls home. */
  image: string;
}

export class Room {
  private constructor(
    private readonly program: ChildProcessByStdio<Writable, Readable, Readable>,
    private readonly lines: Interface,
    private readonly said: Buffer[],
    readonly there: There,
    readonly door: Door,
  ) {}

  /** Opens it; the first time on a host it builds what is booted, which takes minutes. */
  static async open(): Promise<Room> {
    const { STORY_TIMES: _, ...env } = process.env;
    const program = spawn(PROGRAM, [], { stdio: ['pipe', 'pipe', 'pipe'], env });
    const said: Buffer[] = [];
    program.stderr.on('data', (piece: Buffer) => said.push(piece));
    const lines = createInterface(program.stdout);
    const there = await next<There>(lines, said);
    const door = await openDoor(there.socket, { PATH: process.env.PATH, NO_COLOR: '1' });
    return new Room(program, lines, said, there, door);
  }

  /** Says a word of lab-room, and waits until it is done. */
  async say<T = object>(word: string): Promise<T> {
    if (this.program.exitCode !== null) throw new Error(`lab-room ended: ${Buffer.concat(this.said)}`);
    this.program.stdin.write(`${word}\n`);
    return next<T>(this.lines, this.said);
  }

  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    return ask<T>(this.there.socket, method, path, body);
  }

  async close(): Promise<void> {
    this.door.process.kill('SIGKILL');
    const ended = this.program.exitCode === null ? once(this.program, 'exit') : null;
    this.program.stdin.end();
    await ended;
  }
}

/** The next line as JSON; when the program ends instead, what it said. */
function next<T>(lines: Interface, said: Buffer[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const over = () => reject(new Error(`lab-room ended: ${Buffer.concat(said)}`));
    lines.once('close', over);
    lines.once('line', (line) => {
      lines.removeListener('close', over);
      resolve(JSON.parse(line) as T);
    });
  });
}

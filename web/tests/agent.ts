// The real agent on a computer that is a folder (as tests/src/lab/board.rs has it): it joins, tells its hardware, obeys in
// words only, and can be killed.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Site } from './site';

const PROGRAM = process.env.ENFORCER_AGENT ?? new URL('../../target/debug/enforcer-agent', import.meta.url).pathname;

export class Agent {
  private folder = mkdtempSync(join(tmpdir(), 'enforcer-agent-'));
  private running: ChildProcess[] = [];
  readonly mac: string;
  log = '';

  /** Machine `number`, with an address of the loopback and a disk of its own. */
  constructor(
    private readonly site: Site,
    private readonly number: number,
  ) {
    this.mac = `02:0f:00:00:00:${number.toString(16).padStart(2, '0')}`;
    const board: Record<string, string> = {
      'sys/class/dmi/id/sys_vendor': 'EnforcerLab', 'sys/class/dmi/id/product_name': 'Folder', 'sys/class/dmi/id/product_serial': `WEB-${number}`,
      'sys/class/dmi/id/product_uuid': `99999999-0000-4000-8000-${String(number).padStart(12, '0')}`, 'sys/class/dmi/id/board_serial': `WBD-${number}`, 'sys/class/dmi/id/bios_version': '1',
      'sys/class/net/eth0/address': this.mac, 'sys/class/net/eth0/type': '1', 'sys/class/net/eth0/carrier': '1',
      'sys/block/vda/size': String(64 * 2048), 'sys/block/vda/queue/logical_block_size': '512', 'sys/block/vda/serial': `DISK-${number}`,
      'proc/cpuinfo': 'processor\t: 0\nmodel name\t: None at all\n', 'proc/meminfo': 'MemTotal:  524288 kB\n', 'proc/sys/kernel/osrelease': '6.1.0-folder',
    };
    for (const [name, text] of Object.entries(board)) {
      const file = join(this.folder, 'board', name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    mkdirSync(join(this.folder, 'board/sys/class/net/eth0/device'), { recursive: true });
  }

  private run(verb: string, ...more: string[]): ChildProcess {
    const child = spawn(PROGRAM, [verb, '--state', join(this.folder, 'state'), '--root', join(this.folder, 'board'), '--bind', `127.0.1.${this.number}`, ...more], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, NO_COLOR: '1' } });
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => (this.log += piece.toString()));
    this.running.push(child);
    return child;
  }

  /** Enrols; without a token it waits for a person. Ends when it is enrolled. */
  join(token?: string): Promise<void> {
    const child = this.run('join', ...(token ? [token] : []), '--controller', `127.0.0.1:${this.site.meshPort}`);
    return new Promise((resolve, reject) => child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`join: ${this.log}`)))));
  }

  /** The daemon; it only says what it would do to the machine. */
  start(): void {
    this.run('daemon', '--pretend', '--gossip-port', '0');
  }

  /** Power is cut. */
  kill(): void {
    for (const child of this.running) child.kill('SIGKILL');
  }

  stop(): void {
    this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

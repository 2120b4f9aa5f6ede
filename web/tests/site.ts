// A controller of its own for tests: its daemon, `enforcer web` before it for each role, and the API as a test speaks it.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask, openDoor, PROGRAM, type Door } from './door';

/** How long a debug build may take to start on a busy host. */
const START_MS = 20_000;
/** The viewer: a person of the group `enforcer`, on a host of our own making (two account files that only the daemon sees). */
const VERA = { uid: 64_123, gid: 64_124 };
const PASSWD = `root:x:0:0::/root:/bin/sh\nvera:x:${VERA.uid}:${VERA.uid}::/:/bin/sh\n`;
const GROUP = `root:x:0:\nenforcer:x:${VERA.gid}:vera\n`;
/** Puts them over the host's in a mount namespace, then becomes the daemon. */
const WITH_ACCOUNTS = 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && shift && exec "$@"';

export class Site {
  private folder = mkdtempSync(join(tmpdir(), 'enforcer-web-'));
  private daemon: ChildProcess | null = null;
  private doors: Door[] = [];
  private httpPort = 0;
  /** Where agents' links come in. */
  meshPort = 0;
  log = '';

  constructor(private readonly settings = '') {
    chmodSync(this.folder, 0o755);
  }

  get socket(): string {
    return join(this.folder, 'api.sock');
  }

  /** The certificate of the site's CA. */
  get ca(): string {
    return join(this.folder, 'state/ca/ca.crt');
  }

  /** On loopback ports of its own, without DHCP and TFTP; waits until it answers. */
  async start(): Promise<this> {
    this.httpPort ||= await freePort();
    this.meshPort ||= await freePort();
    const gossip = await freePort();
    const config = join(this.folder, 'enforcer.toml');
    writeFileSync(join(this.folder, 'passwd'), PASSWD);
    writeFileSync(join(this.folder, 'group'), GROUP);
    writeFileSync(config, `listen = "127.0.0.1"\nhttp_port = ${this.httpPort}\nmesh_port = ${this.meshPort}\ngossip_port = ${gossip}\ntftp = false\n[dhcp]\nmode = "off"\n${this.settings}`);
    const serve = [PROGRAM, 'serve', '--config', config, '--state', join(this.folder, 'state'), '--api-socket', this.socket];
    this.daemon = spawn('unshare', ['--mount', 'sh', '-c', WITH_ACCOUNTS, 'sh', this.folder, ...serve], { stdio: ['ignore', 'pipe', 'pipe'], env: this.environment() });
    for (const stream of [this.daemon.stdout, this.daemon.stderr]) stream?.on('data', (piece: Buffer) => (this.log += piece.toString()));
    const until = Date.now() + START_MS;
    while (!(await this.answers())) {
      if (Date.now() > until || this.daemon.exitCode !== null) throw new Error(`the controller did not start:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return this;
  }

  private environment(): NodeJS.ProcessEnv {
    return { PATH: process.env.PATH, HOME: this.folder, NO_COLOR: '1' };
  }

  private answers(): Promise<boolean> {
    return this.api('GET', '/machines?limit=1').then(() => true, () => false);
  }

  /** The controller dies, as by a power cut. */
  async kill(): Promise<void> {
    const daemon = this.daemon;
    this.daemon = null;
    if (!daemon || daemon.exitCode !== null) return;
    const gone = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGKILL');
    await gone;
  }

  /** `enforcer web` as this host's root, or as the viewer who is nobody else. */
  async door(who: 'root' | 'viewer' = 'root'): Promise<Door> {
    const user = who === 'viewer' ? VERA : {};
    if (who === 'viewer') await this.api('POST', '/users', { name: 'vera', role: 'viewer' });
    const door = await openDoor(this.socket, this.environment(), user);
    this.doors.push(door);
    return door;
  }

  /** A request on the local socket, as root; its JSON. */
  api<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    return ask<T>(this.socket, method, path, body);
  }

  async register(mac: string, name: string, labels?: Record<string, string>): Promise<void> {
    await this.api('POST', '/machines', { mac, name });
    if (labels) await this.api('PATCH', `/machines/${name}`, { labels });
  }

  /** The machine asks boot HTTP for its script, as iPXE does. */
  async boots(mac: string): Promise<void> {
    await fetch(`http://127.0.0.1:${this.httpPort}/boot/${mac}?session=${Date.now().toString(16)}&platform=efi&arch=x86_64`);
  }

  async stop(): Promise<void> {
    for (const door of this.doors) door.process.kill('SIGKILL');
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A port that was free a moment ago; UDP and TCP of one number are rarely both taken. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}

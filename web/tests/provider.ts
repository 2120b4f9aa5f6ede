// A real identity provider (tests/oidc: oidc-provider of npm, with its own forms). Whoever signs in there is who they say; ada is in the
// group boot-admins, everybody else in none.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { freePort } from './site';

const TESTS = new URL('../../tests/', import.meta.url).pathname;
/** As tests/oidc/provider.mjs has it. */
const SECRET = 'a secret: of 100% %n';

export class Provider {
  private process: ChildProcess | null = null;
  private folder = mkdtempSync(join(tmpdir(), 'enforcer-provider-'));

  private constructor(readonly issuer: string) {}

  /** Its address, before it is there: the controller and it are told of each other. */
  static async reserve(): Promise<Provider> {
    return new Provider(`http://127.0.0.1:${await freePort()}`);
  }

  /** What the controller at `origin` has to be told: who is in `group` has `role`, nobody else any. */
  settings(origin: string, group: string, role: string): string {
    const secret = join(this.folder, 'secret');
    writeFileSync(secret, SECRET);
    return `[oidc]\nname = "the lab"\nissuer = "${this.issuer}"\nclient_id = "enforcer"\nclient_secret_file = "${secret}"\npublic_url = "${origin}"\nscopes = ["openid", "profile"]\n[[oidc.roles]]\nclaim = "groups"\nvalue = "${group}"\nrole = "${role}"\n`;
  }

  /** For the controller at `origin`; waits until it listens. The first time on a host it is installed. */
  async start(origin: string): Promise<this> {
    const node = execFileSync(join(TESTS, 'oidc.sh'), { encoding: 'utf8' }).trim();
    const child = spawn(node, [join(TESTS, '.cache/oidc/provider.mjs'), new URL(this.issuer).port, `${origin}/api/v1/oidc/callback`], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    let log = '';
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => /provider listens/.test((log += piece.toString())) && resolve());
      child.once('exit', () => reject(new Error(`the provider ended:\n${log}`)));
    });
    return this;
  }

  stop(): void {
    this.process?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Fills in the provider's forms: who they are, and that the controller may know it. */
export async function consent(page: Page, name: string): Promise<void> {
  await page.getByPlaceholder('Enter any login').fill(name);
  await page.getByPlaceholder('and password').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

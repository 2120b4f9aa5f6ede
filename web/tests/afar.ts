// A controller with a port on the network, and a browser whose owner has brought it the site's CA.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, expect, type Browser, type LaunchOptions, type Page } from '@playwright/test';
import { watch } from './fixture';
import { freePort, Site } from './site';

export class Afar {
  private constructor(
    readonly site: Site,
    readonly origin: string,
    /** Trusts the site's CA. */
    readonly browser: Browser,
    private readonly home: string,
  ) {}

  /** `launch`: how the project's own browser is started; `more`: settings of the controller, which is reached at `origin`. */
  static async open(launch: LaunchOptions = {}, more: (origin: string) => string = () => ''): Promise<Afar> {
    const port = await freePort();
    const origin = `https://localhost:${port}`;
    const site = await new Site(`[api]\nlisten = "127.0.0.1:${port}"\n[http]\nweb = true\n${more(origin)}`).start();
    const home = mkdtempSync(join(tmpdir(), 'enforcer-home-'));
    const database = join(home, '.pki/nssdb');
    mkdirSync(database, { recursive: true });
    execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
    execFileSync('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'enforcer', '-i', site.ca]);
    const browser = await chromium.launch({ ...launch, env: { ...process.env, HOME: home } as Record<string, string> });
    return new Afar(site, origin, browser, home);
  }

  /** Makes an API token, as root does on the controller's host. */
  async token(name: string, more: object = {}): Promise<string> {
    return (await this.site.api<{ token: string }>('POST', '/tokens', { name, ...more })).token;
  }

  /** An empty browser at the door. Whatever calls the API beside its document fails the test. */
  async atTheDoor(work: (page: Page) => Promise<void>): Promise<void> {
    const context = await this.browser.newContext();
    const page = await context.newPage();
    const wrong: string[] = [];
    watch(page, wrong);
    await page.goto(this.origin);
    await work(page);
    expect(wrong).toEqual([]);
    await context.close();
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.site.stop();
    rmSync(this.home, { recursive: true, force: true });
  }
}

export async function signIn(page: Page, token: string): Promise<void> {
  // In the clear there is no other way.
  if (page.url().startsWith('https')) await page.getByRole('button', { name: 'Token', exact: true }).click();
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

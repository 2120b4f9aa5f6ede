// What tests of the app start from: a controller per worker, a page that is signed in, and a watch over every request.
import AxeBuilder from './axe';
import { readFileSync } from 'node:fs';
import { expect, test as base, type Page } from '@playwright/test';
import type { Door } from './door';
import { Site } from './site';

interface Given {
  /** Signed in as root, on an empty address. */
  app: Page;
  door: Door;
  site: Site;
}

const document = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8')) as { paths: Record<string, Record<string, unknown>> };
const known = Object.entries(document.paths).map(([path, methods]) => ({ methods: Object.keys(methods), path: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`) }));

/** Is this request one that the API's document has? */
export function documented(method: string, path: string): boolean {
  return known.some((entry) => entry.path.test(path) && entry.methods.includes(method.toLowerCase()));
}

/** Fails the test for every call that is not documented and every violation of the page's own policy. */
export function watch(page: Page, wrong: string[]): void {
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith('/api/') && !documented(request.method(), pathname)) wrong.push(`${request.method()} ${pathname} is not documented`);
  });
  page.on('console', (message) => {
    if (/Content Security Policy|Content-Security-Policy/.test(message.text())) wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(`the page failed: ${error.message}`));
}

export const test = base.extend<Given, { shared: { site: Site; door: Door } }>({
  shared: [
    async ({}, use) => {
      const site = await new Site().start();
      const door = await site.door();
      await use({ site, door });
      await site.stop();
    },
    { scope: 'worker' },
  ],
  site: async ({ shared }, use) => use(shared.site),
  door: async ({ shared }, use) => use(shared.door),
  app: async ({ page, door }, use) => {
    const wrong: string[] = [];
    watch(page, wrong);
    await page.goto(door.address);
    await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
    await use(page);
    expect(wrong).toEqual([]);
  },
});

/** axe-core finds nothing serious on what is shown. */
export async function accessible(page: Page): Promise<void> {
  const found = await new AxeBuilder(page).analyze();
  const serious = found.filter((v) => v.impact === 'serious' || v.impact === 'critical');
  expect(serious.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`)).toEqual([]);
}

export { expect };

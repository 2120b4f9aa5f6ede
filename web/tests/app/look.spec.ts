// How it looks: axe on every screen, in both themes, at phone width; and the pictures of the docs.
import { copyFileSync, mkdirSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { accessible, expect, test } from '../fixture';
import { SCREENS } from '../../src/lib/route';
import { Agent } from '../agent';
import { freePort, Site } from '../site';

const PICTURES = new URL('../pictures/', import.meta.url).pathname;
/** Those that the documents show: written anew with ENFORCER_UPDATE_DOCS=1. */
const SHOWN: Record<string, string> = { 'fleet-dark': 'fleet', 'machines-light': 'machines', 'machines-phone': 'phone', 'pending-light': 'pending', 'audit-light': 'audit' };
const DOCS = new URL('../../../docs/pictures/', import.meta.url).pathname;
const PHONE = { width: 375, height: 780 };
const DESK = { width: 1280, height: 860 };

/** A small room in the middle of its day: some machines only registered, some with agents, one that fell, one that waits. */
async function room(): Promise<{ site: Site; agents: Agent[] }> {
  const site = await new Site(`[api]\nlisten = "127.0.0.1:${await freePort()}"\n`).start();
  const agents = ['web4', 'web5', 'db3', 'db4'].map((name, i) => ({ name, agent: new Agent(site, 21 + i) }));
  for (const { name, agent } of agents) {
    await site.register(agent.mac, name, { pool: name.replace(/\d/, ''), rack: 'r3' });
    await site.boots(agent.mac);
    const { token } = await site.api<{ token: string }>('POST', '/join-tokens', {});
    await agent.join(token);
    agent.start();
  }
  const stranger = new Agent(site, 30);
  stranger.join().catch(() => undefined);
  const names = ['web1', 'web2', 'web3', 'db1', 'db2', 'build1'];
  for (const [i, name] of names.entries()) await site.register(`52:54:00:dd:00:0${i + 1}`, name, { pool: name.replace(/\d/, ''), rack: `r${(i % 2) + 1}` });
  await site.api('PUT', '/boot-configs/rescue', { program: { type: 'ipxe', script: '#!ipxe\necho Rescue for {{ name }}\nshell' } });
  await site.api('POST', '/boot-configs/rescue/activate', { machine: 'web1', kind: 'standing' });
  await site.api('PUT', '/images/debian/versions?note=13.1', Buffer.alloc(3 << 20, 5));
  await site.api('PUT', '/images/debian/versions?note=13.2', Buffer.concat([Buffer.alloc(3 << 20, 5), Buffer.alloc(1 << 20, 6)]));
  await site.api('POST', '/users', { name: 'ada', role: 'operator', note: 'on call' });
  await site.api('POST', '/join-tokens', {});
  await site.api('POST', '/tokens', { name: 'ci', role: 'operator' });
  for (const i of [1, 2, 4]) await site.boots(`52:54:00:dd:00:0${i}`);
  await site.boots('52:54:00:dd:00:99');
  await site.api('POST', '/deployments', { machine: 'web3', image: 'debian' });
  await expect.poll(async () => (await site.api<{ items: { state: string }[] }>('GET', '/members')).items.filter((m) => m.state === 'alive').length).toBe(4);
  agents.at(-1)?.agent.kill();
  return { site, agents: [...agents.map((a) => a.agent), stranger] };
}

/** What makes the page wider than its window; what scrolls by itself may be as wide as it likes. */
function tooWide(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const wide = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > clientWidth && !e.closest('.scroll, pre'));
    return [`by ${scrollWidth - clientWidth}`, ...wide.map((e) => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`)];
  });
}

test('no screen has a serious fault for people with other senses, in light, dark, or on a phone', async ({ page }) => {
  test.setTimeout(150_000);
  mkdirSync(PICTURES, { recursive: true });
  const { site, agents } = await room();
  try {
    const door = await site.door();
    await page.goto(door.address);
    await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
    const shown = [...SCREENS.map((name) => [name, `#/${name}`]), ['machine', '#/machines/web4'], ['machine-boot', '#/machines/web1?tab=boot'], ['machine-hardware', '#/machines/web4?tab=hardware'], ['tokens', '#/settings?part=api+tokens'], ['certificates', '#/settings?part=certificates'], ['sessions', '#/settings?part=sessions']] as const;
    for (const theme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: theme });
      for (const [name, hash] of shown) {
        await page.setViewportSize(DESK);
        await page.evaluate((to) => (location.hash = to), hash);
        await expect(page.getByText('Reading…')).toHaveCount(0);
        await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
        await test.step(`${name}, ${theme}`, () => accessible(page));
        await page.screenshot({ path: `${PICTURES}${name}-${theme}.png` });
        if (theme === 'dark') continue;
        await page.setViewportSize(PHONE);
        expect(await tooWide(page), `${name} is wider than a phone`).toEqual([]);
        await page.screenshot({ path: `${PICTURES}${name}-phone.png` });
      }
    }
    if (process.env.ENFORCER_UPDATE_DOCS) mkdirSync(DOCS, { recursive: true });
    for (const [from, to] of Object.entries(process.env.ENFORCER_UPDATE_DOCS ? SHOWN : {})) copyFileSync(`${PICTURES}${from}.png`, `${DOCS}${to}.png`);
  } finally {
    for (const agent of agents) agent.stop();
    await site.stop();
  }
});

test('everything is reached by keyboard, and a dialog gives the focus back', async ({ app }) => {
  await app.goto(`${new URL(app.url()).origin}/#/machines`);
  const button = app.getByRole('button', { name: 'Register a machine' });
  await button.focus();
  await app.keyboard.press('Enter');
  await expect(app.getByRole('dialog')).toBeVisible();
  await app.keyboard.press('Escape');
  await expect(app.getByRole('dialog')).toHaveCount(0);
  await expect(button).toBeFocused();
});

test('the theme is a choice that stays', async ({ app }) => {
  await app.emulateMedia({ colorScheme: 'light' });
  const ground = () => app.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await app.getByRole('button', { name: /Theme/ }).click();
  expect(await ground()).not.toBe(light);
  expect(await app.evaluate(() => localStorage.getItem('enforcer-theme'))).toBe('dark');
});

test('a thousand members are drawn within a frame', async ({ app }) => {
  const states = ['alive', 'alive', 'alive', 'alive', 'unreachable', 'down'];
  const items = Array.from({ length: 1000 }, (_, i) => ({ name: `m${i}`, machine: `id${i}`, joined: '2026-01-01T00:00:00Z', since: '2026-01-01T00:00:00Z', state: states[i % 6], why: 'as the controller says', source: 'mesh' }));
  await app.route('**/api/v1/members*', (route) => route.fulfill({ json: { items } }));
  await app.goto(`${new URL(app.url()).origin}/#/mesh`);
  const canvas = app.getByRole('img', { name: /1000 members/ });
  await expect(canvas).toBeVisible();
  const worst = await canvas.evaluate(async (element) => {
    const times: number[] = [];
    const box = element.getBoundingClientRect();
    for (let i = 0; i < 40; i += 1) {
      const start = performance.now();
      element.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + 20 + i * 10, clientY: box.top + 200, bubbles: true }));
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Infinity;
  });
  // Two frames of 60 a second: software rendering on a busy host; a quadratic picture takes seconds.
  expect(worst).toBeLessThan(100);
});

// A real computer, from its power button to its new system: the page alone decides, and says what happens while it does.
import { copyFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { accessible, expect, test, watch } from '../fixture';
import { Room } from '../room';

/** What is booted is built once on a host. */
const BUILD_MS = 600_000;
/** An emulated machine beside other tests. */
const BOOT_MS = 120_000;
const DOCS = new URL('../../../docs/pictures/timeline.png', import.meta.url).pathname;
let room: Room;

test.beforeAll(async () => {
  test.setTimeout(BUILD_MS);
  room = await Room.open();
});
test.afterAll(() => room.close());

test('a machine that nobody has heard of shows up, is accepted by its code, and takes an uploaded image until it is online', async ({ page }) => {
  test.setTimeout(240_000);
  const wrong: string[] = [];
  watch(page, wrong);
  const at = (hash: string) => page.evaluate((to) => void (location.hash = to), hash);
  await page.goto(room.door.address);
  await expect(page.getByText('No machine yet')).toBeVisible();
  await room.say('on');
  const name = await appears(page);

  await test.step('its code on the page is the one on its screen; a person says so', async () => {
    await at('#/pending');
    const waiting = page.getByRole('region', { name });
    await expect(waiting.locator('.code')).toHaveText(/^\d{4}-\d{4}$/, { timeout: BOOT_MS });
    const { code } = await room.say<{ code: string }>('code');
    await expect(waiting.locator('.code')).toHaveText(code);
    await accessible(page);
    await waiting.getByRole('button', { name: /accept/ }).click();
    await expect(page.getByText('Nobody waits')).toBeVisible();
    expect(await room.api('GET', `/machines/${name}`)).toMatchObject({ standing: 'accepted', level: 't2' });
  });

  await test.step('a boot config is set, and shown as this machine would be served it', async () => {
    await at(`#/machines/${name}?tab=boot`);
    await page.getByRole('button', { name: 'New boot config…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('rescue');
    await dialog.getByLabel('What it runs').selectOption('ipxe');
    await dialog.getByLabel('Script, a template').fill('#!ipxe\necho Rescue for {{ name }} at {{ mac }}\nshell');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await expect(page.getByLabel('Script', { exact: true })).toContainText(`Rescue for ${name} at ${room.there.mac}`);
  });

  await test.step('an image that is damaged in the store fails, and says why', async () => {
    await broken('spoilt');
    await deploy(page, at, name, 'spoilt');
    const job = page.locator('article', { hasText: 'spoilt@1' });
    await expect(job.getByText('failed', { exact: true })).toBeVisible({ timeout: BOOT_MS });
    await expect(job.locator('.failed')).toContainText('damaged');
    await at('#/fleet');
    await expect(page.getByRole('region', { name: 'Needs a person now' })).toContainText('damaged');
  });

  await test.step('an image goes up, and onto the disk while its bar moves', async () => {
    await at('#/images');
    await page.locator('input[type=file]').setInputFiles(room.there.image);
    await page.getByLabel('Image', { exact: true }).fill('golden');
    await page.getByRole('button', { name: /^Send/ }).click();
    await expect(page.getByRole('region', { name: 'golden' }).getByText('@1')).toBeVisible({ timeout: BOOT_MS });
    await noteBars(page);
    await deploy(page, at, name, 'golden', '#cloud-config\nhostname: metal\n');
    const job = page.locator('article', { hasText: 'golden@1' });
    await expect(job.getByText('rebooting', { exact: true })).toBeVisible({ timeout: BOOT_MS });
    const bars = await notedBars(page);
    const writing = bars.filter(([label]) => label === `writing on ${name}`).map(([, value]) => value);
    expect(writing, 'it only grows').toEqual([...writing].sort((a, b) => a - b));
    const between = new Set(writing.filter((value) => value > 0 && value < 100));
    expect(between.size, `the bar moves: ${JSON.stringify(bars)}`).toBeGreaterThanOrEqual(2);
  });

  await test.step('its new system speaks, and the timeline says so by itself', async () => {
    await at(`#/machines/${name}?tab=timeline`);
    await expect(page.locator('ol').getByText('deployment.online')).toBeVisible({ timeout: BOOT_MS });
    await expect(page.getByRole('img', { name: /Boot timeline/ })).toBeVisible();
    await expect(page.locator('ol').getByText('told to boot its own disk')).toBeVisible();
    await room.say('hear PHONED-HOME');
    await accessible(page);
    const file = test.info().outputPath('timeline.png');
    await page.screenshot({ path: file });
    if (process.env.ENFORCER_UPDATE_DOCS) copyFileSync(file, DOCS);
    await page.getByRole('tab', { name: 'deployments' }).click();
    await expect(page.locator('article', { hasText: 'golden@1' }).getByText('online', { exact: true })).toBeVisible();
  });
  expect(wrong).toEqual([]);
});

/** It asks to boot, and is on the first screen without anybody's doing; its name. */
async function appears(page: Page): Promise<string> {
  const link = page.getByRole('region', { name: 'Needs a person now' }).getByRole('link', { name: room.there.mac.replaceAll(':', '-') });
  await expect(link).toBeVisible({ timeout: BOOT_MS });
  return (await link.textContent()) ?? '';
}

/** An image whose manifest a disk error has changed since it came. */
async function broken(image: string): Promise<void> {
  const folder = join(room.there.state, 'chunks/manifests');
  const before = readdirSync(folder);
  await room.api('PUT', `/images/${image}/versions`, Buffer.alloc(1 << 20, 7));
  for (const file of readdirSync(folder).filter((one) => !before.includes(one))) writeFileSync(join(folder, file), 'no manifest');
}

/** By the dialog, as a person: the disk is named before it is overwritten. */
async function deploy(page: Page, at: (hash: string) => Promise<void>, name: string, image: string, userData?: string): Promise<void> {
  await at(`#/machines/${name}?tab=deployments`);
  await page.getByRole('button', { name: 'Deploy…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox', { name: 'Image', exact: true }).selectOption(image);
  if (userData) {
    await dialog.getByText('What the new system is told').click();
    await dialog.getByLabel('User-data for cloud-init').fill(userData);
  }
  await expect(dialog.locator('.loss')).toContainText(room.there.disk_serial);
  await dialog.getByLabel("Machine's name").fill(name);
  await dialog.getByRole('button', { name: 'Overwrite and deploy' }).click();
  await expect(dialog).toHaveCount(0);
}

type Bars = [string, number][];

/** From now on the page writes down what its progress bars say. */
function noteBars(page: Page): Promise<void> {
  return page.evaluate(() => {
    const seen: Bars = [];
    (window as unknown as { bars: Bars }).bars = seen;
    const note = () => {
      for (const bar of document.querySelectorAll('[role=progressbar]')) {
        const now: Bars[number] = [bar.getAttribute('aria-label') ?? '', Number(bar.getAttribute('aria-valuenow'))];
        const last = seen.at(-1);
        if (last?.[0] !== now[0] || last[1] !== now[1]) seen.push(now);
      }
    };
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['aria-valuenow', 'aria-label'] });
  });
}

function notedBars(page: Page): Promise<Bars> {
  return page.evaluate(() => (window as unknown as { bars: Bars }).bars);
}

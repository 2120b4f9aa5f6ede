// What is on the screen follows the controller, also when it goes away.
import { createServer, type Server } from 'node:http';
import { expect, test } from '../fixture';
import { Site } from '../site';

test('a machine that somebody else registers shows up by itself, and its boots too', async ({ app, site }) => {
  await app.goto(`${new URL(app.url()).origin}/#/machines`);
  await expect(app.getByRole('link', { name: 'shows-up' })).toHaveCount(0);
  await site.register('52:54:00:bb:00:01', 'shows-up', { pool: 'web' });
  await expect(app.getByRole('link', { name: 'shows-up' })).toBeVisible();
  await expect(app.getByText('pool=web')).toBeVisible();
  await app.getByRole('link', { name: 'shows-up' }).click();
  await expect(app.getByText('It has not booted yet')).toBeVisible();
  await site.boots('52:54:00:bb:00:01');
  await expect(app.getByRole('img', { name: /Boot timeline/ })).toBeVisible();
  await expect(app.locator('ol').getByText('told to boot')).toBeVisible();
});

test('filters find by any word, and the address keeps them', async ({ app, site }) => {
  await site.register('52:54:00:bb:01:01', 'db1', { pool: 'db' });
  await site.register('52:54:00:bb:01:02', 'db2', { pool: 'db', rack: 'r2' });
  await app.goto(`${new URL(app.url()).origin}/#/machines`);
  await app.getByRole('searchbox').fill('pool=db r2');
  await expect(app.getByRole('link', { name: 'db2' })).toBeVisible();
  await expect(app.getByRole('link', { name: 'db1' })).toHaveCount(0);
  expect(app.url()).toContain('q=pool');
});

test('many machines are labelled at once', async ({ app, site }) => {
  for (const n of [1, 2, 3]) await site.register(`52:54:00:bb:02:0${n}`, `bulk${n}`);
  await app.goto(`${new URL(app.url()).origin}/#/machines?q=bulk`);
  await expect(app.getByRole('link', { name: /^bulk/ })).toHaveCount(3);
  await app.getByLabel('Choose all that are listed').check();
  await app.getByLabel('Label', { exact: true }).fill('row=7');
  await app.getByRole('button', { name: 'Label' }).click();
  await expect(app.getByText('row=7')).toHaveCount(3);
  const machine = await site.api<{ labels: Record<string, string> }>('GET', '/machines/bulk2');
  expect(machine.labels).toEqual({ row: '7' });
});

test('a controller that dies is told, and what happened meanwhile is there when it is back', async ({ page }) => {
  const site = await new Site().start();
  try {
    const door = await site.door();
    await page.goto(door.address);
    await expect(page.getByText('Live', { exact: true })).toBeVisible();
    await site.kill();
    await expect(page.getByRole('alert').filter({ hasText: 'What you see is as it was' })).toBeVisible();
    await site.start();
    await site.register('52:54:00:bb:03:01', 'meanwhile');
    await page.goto(`${door.origin}/#/machines`);
    await expect(page.getByRole('link', { name: 'meanwhile' })).toBeVisible({ timeout: 20_000 });
    await expect(page.getByRole('alert')).toHaveCount(0);
  } finally {
    await site.stop();
  }
});

test('events that are lost cost a moment, never a wrong screen', async ({ page, door, site }) => {
  // Every stream ends before it tells anything: only reading the lists again can show what is new.
  await page.route('**/api/v1/events/stream', (route) => route.fulfill({ contentType: 'text/event-stream', body: ': live\nid: 1\n\n' }));
  await page.goto(door.address);
  await page.goto(`${door.origin}/#/machines`);
  await expect(page.getByRole('heading', { name: 'Machines' })).toBeVisible();
  await site.register('52:54:00:bb:05:01', 'unheard');
  await expect(page.getByRole('link', { name: 'unheard' })).toBeVisible();
});

test('a page of another origin works when the controller allows it, with nothing of its own served', async ({ page, door }) => {
  const elsewhere = await hosted(door.origin);
  const site = await new Site(`[http]\nweb_origins = ["${elsewhere.origin}"]\n`).start();
  try {
    const own = await site.door();
    await page.goto(elsewhere.origin);
    await page.getByText('The controller is elsewhere').click();
    await page.getByLabel('Its address').fill(own.origin);
    await page.getByLabel('Token').fill(own.token);
    await page.keyboard.press('Enter');
    await expect(page.getByText('No machine yet')).toBeVisible();
    await site.register('52:54:00:bb:04:01', 'far');
    await expect(page.getByText('1 registered')).toBeVisible();
  } finally {
    elsewhere.server.close();
    await site.stop();
  }
});

test('a page of an origin that is not on the list is told nothing', async ({ page, door }) => {
  const elsewhere = await hosted(door.origin);
  try {
    await page.goto(elsewhere.origin);
    await page.getByText('The controller is elsewhere').click();
    await page.getByLabel('Its address').fill(door.origin);
    await page.getByLabel('Token').fill(door.token);
    await page.keyboard.press('Enter');
    await expect(page.getByRole('alert')).toContainText('controller-unreachable');
  } finally {
    elsewhere.server.close();
  }
});

/** The app's files on a server that is no controller: its own port, no policy but the page's own. */
async function hosted(from: string): Promise<{ origin: string; server: Server }> {
  const server = createServer((request, response) => {
    void fetch(from + (request.url ?? '/')).then(async (file) => {
      response.writeHead(file.status, { 'content-type': file.headers.get('content-type') ?? '' });
      response.end(Buffer.from(await file.arrayBuffer()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { server, origin: `http://localhost:${address && typeof address === 'object' ? address.port : 0}` };
}

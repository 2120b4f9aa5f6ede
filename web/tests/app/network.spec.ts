// From elsewhere: the API's own port, which proves itself by the site's CA and knows nobody who shows no token.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { connect } from 'node:tls';
import type { Page } from '@playwright/test';
import { Afar, signIn } from '../afar';
import { accessible, expect, test } from '../fixture';
import { freePort, Site } from '../site';

/** What `npm run build` made: files for any server. */
const DIST = new URL('../../dist', import.meta.url).pathname;
const KINDS: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

let afar: Afar;
let site: Site;
let short: string;

test.beforeAll(async () => {
  afar = await Afar.open(test.info().project.use.launchOptions);
  site = afar.site;
  short = await afar.token('short', { seconds: 60 });
});
test.afterAll(() => afar.close());

const atTheDoor = (work: (page: Page) => Promise<void>) => afar.atTheDoor(work);

test('a browser that does not know the CA does not open the page', async ({ page }) => {
  await expect(page.goto(afar.origin)).rejects.toThrow('ERR_CERT_AUTHORITY_INVALID');
});

test('with nothing in the browser a token leads to the fleet, which is live; a wrong one is told what cures it', async () => {
  const good = await afar.token('ops', { role: 'operator' });
  await atTheDoor(async (page) => {
    await accessible(page);
    await signIn(page, good.replace('enf_', 'enf_0'));
    const told = page.getByRole('alert');
    await expect(told).toContainText('unauthenticated');
    await expect(told).toContainText('enforcer tokens list');
    await signIn(page, good);
    await expect(page.getByText('No machine yet')).toBeVisible();
    await expect(page.getByText('operator', { exact: true })).toBeVisible();
    await site.register('52:54:00:ee:00:01', 'far1');
    await expect(page.getByText('1 registered')).toBeVisible();
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    expect(kept).not.toContain(good);

    await site.api('DELETE', '/tokens/ops');
    await page.evaluate(() => void (location.hash = '#/images'));
    await expect(page.getByRole('alert')).toContainText('You are signed out');
    await expect(page.getByRole('alert')).toContainText('the token ops was revoked; ask for a new one');
  });
});

test('a viewer is refused whatever changes or destroys something, each time with who, what it needs, and nothing is changed', async () => {
  test.setTimeout(90_000);
  await site.register('52:54:00:ee:00:02', 'safe1');
  await site.api('PUT', '/images/kept/versions', Buffer.alloc(1 << 20, 4));
  await site.api('POST', '/deployments', { machine: 'safe1', image: 'kept' });
  await site.api('POST', '/users', { name: 'ada', role: 'operator' });
  const before = await everything();
  const look = await afar.token('look');
  await atTheDoor(async (page) => {
    await signIn(page, look);
    await expect(page.getByText('Viewer: look only')).toBeVisible();
    for (const { hash, open, type, go, needs } of DESTROYS) {
      await test.step(`${hash}: ${open}`, async () => {
        await page.evaluate((to) => void (location.hash = to), hash);
        await page.getByRole('button', { name: open, exact: true }).first().click();
        if (type) await page.getByRole('dialog').getByRole('textbox').last().fill(type);
        if (go) await page.getByRole('dialog').getByRole('button', { name: go, exact: true }).click();
        const told = page.getByRole('alert').filter({ hasText: 'forbidden' });
        await expect(told).toContainText(`token/look:root has the role viewer; this needs ${needs}: ask an admin`);
        if (go) await page.keyboard.press('Escape');
        // The next refusal has to be its own.
        await page.evaluate(() => void (location.hash = '#/fleet'));
        await expect(page.getByRole('alert')).toHaveCount(0);
      });
    }
  });
  expect(await everything()).toEqual(before);
});

/** What a viewer may try: where, with which button, what is typed, which button then, and the role it needs. */
const DESTROYS: { hash: string; open: string; type?: string; go?: string; needs: string }[] = [
  { hash: '#/machines/safe1', open: 'Forget…', type: 'safe1', go: 'Forget', needs: 'operator' },
  { hash: '#/machines/safe1', open: 'Accept…', go: 'Accept without comparing', needs: 'operator' },
  { hash: '#/machines/safe1', open: 'Inspect at next boot', needs: 'operator' },
  { hash: '#/images', open: 'Delete…', type: 'kept', go: 'Delete', needs: 'operator' },
  { hash: '#/deployments', open: 'Cancel…', go: 'Cancel it', needs: 'operator' },
  { hash: '#/settings?part=users', open: 'Strike out…', go: 'Strike out', needs: 'admin' },
  { hash: '#/settings?part=api+tokens', open: 'Revoke…', go: 'Revoke', needs: 'operator' },
  { hash: '#/settings?part=join+tokens', open: 'Make a join token', needs: 'operator' },
];

/** All that those buttons could have changed. */
function everything(): Promise<unknown[]> {
  const shown = ['/machines/safe1', '/images/kept', '/deployments', '/users', '/join-tokens'];
  return Promise.all(shown.map((path) => site.api('GET', path)));
}

test('a viewer who wants to overwrite a disk is refused too', async () => {
  const look = await afar.token('look2');
  await atTheDoor(async (page) => {
    await signIn(page, look);
    await expect(page.getByText('Viewer: look only')).toBeVisible();
    await page.evaluate(() => void (location.hash = '#/machines/safe1'));
    await page.getByRole('button', { name: 'Deploy…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('combobox', { name: 'Image', exact: true }).selectOption('kept');
    await dialog.getByLabel("Machine's name").fill('safe1');
    await dialog.getByRole('button', { name: 'Overwrite and deploy' }).click();
    await expect(dialog.getByRole('alert')).toContainText('this needs operator');
  });
});

test('a page that is hosted elsewhere works with the port alone, where the controller serves no page', async () => {
  const port = await freePort();
  const pages = createServer((request, response) => {
    const file = join(DIST, request.url === '/' ? 'index.html' : (request.url ?? ''));
    response.writeHead(200, { 'content-type': KINDS[extname(file)] ?? '' });
    response.end(readFileSync(file));
  });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const hosted = `http://localhost:${(pages.address() as { port: number }).port}`;
  const bare = await new Site(`[api]\nlisten = "127.0.0.1:${port}"\n[http]\nweb_origins = ["${hosted}"]\n`).start();
  const context = await afar.browser.newContext({ ignoreHTTPSErrors: true });
  try {
    const { token: shown } = await bare.api<{ token: string }>('POST', '/tokens', { name: 'far' });
    const page = await context.newPage();
    const own = await page.goto(`https://localhost:${port}/`);
    expect(own?.status(), 'it hosts no page of its own').toBe(404);
    await page.goto(hosted);
    await page.getByText('The controller is elsewhere').click();
    await page.getByLabel('Its address').fill(`https://localhost:${port}`);
    await signIn(page, shown);
    await expect(page.getByText('No machine yet')).toBeVisible();
    await bare.register('52:54:00:ee:00:03', 'there');
    await expect(page.getByText('1 registered')).toBeVisible();
  } finally {
    await context.close();
    pages.close();
    await bare.stop();
  }
});

test('the certificates in the settings are those that the port shows', async ({ page }) => {
  const door = await site.door();
  await page.goto(door.address);
  await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
  await page.evaluate(() => void (location.hash = '#/settings?part=certificates'));
  const shown = await shownByPort();
  const port = page.getByRole('region', { name: 'The API’s port' });
  await expect(port.getByText(shown.leaf, { exact: true })).toBeVisible();
  await expect(port.getByText('CN=Enforcer API')).toBeVisible();
  await expect(port).toContainText('localhost');
  await expect(port).toContainText('renewed by itself');
  await expect(port.getByText('good', { exact: true })).toBeVisible();
  const ca = page.getByRole('region', { name: 'The site’s CA' });
  await expect(ca.getByText(shown.ca, { exact: true })).toBeVisible();
  await expect(ca).toContainText('it does not end');
  await ca.getByText('The certificate, PEM').click();
  expect((await ca.getByLabel('PEM').textContent())?.trim()).toBe(readFileSync(site.ca, 'utf8').trim().replaceAll('\r', ''));
});

/** What TLS itself says: fingerprints of the server's certificate and of who signed it. */
function shownByPort(): Promise<{ leaf: string; ca: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(afar.origin).port), host: '127.0.0.1', servername: 'localhost', ca: readFileSync(site.ca) }, () => {
      const { fingerprint256, issuerCertificate } = socket.getPeerCertificate(true);
      socket.end();
      resolve({ leaf: fingerprint256, ca: issuerCertificate.fingerprint256 });
    });
    socket.once('error', reject);
  });
}

test('an API token is made, shown once, and revoked in the settings', async ({ page }) => {
  const door = await site.door();
  await page.goto(door.address);
  await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
  await page.evaluate(() => void (location.hash = '#/settings'));
  await page.getByRole('button', { name: 'api tokens' }).click();
  await page.getByLabel('Name').fill('made-here');
  await page.getByLabel('May').selectOption('operator');
  await page.getByRole('button', { name: 'Make an API token' }).click();
  const text = (await page.getByLabel(/shown only now/).textContent()) ?? '';
  const row = page.getByRole('row', { name: /made-here/ });
  await expect(row).toContainText('operator');
  await atTheDoor(async (other) => {
    await signIn(other, text);
    await expect(other.getByRole('heading', { name: 'Fleet' })).toBeVisible();
    await row.getByRole('button', { name: 'Revoke…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await expect(row.getByText('revoked')).toBeVisible();
    await other.evaluate(() => void (location.hash = '#/images'));
    await expect(other.getByRole('alert')).toContainText('the token made-here was revoked');
  });
});

// Last: by now most of its minute is over.
test('a token that has ended opens nothing, and the page says when it ended', async () => {
  test.setTimeout(90_000);
  const standing = async () => (await site.api<{ state: string }>('GET', '/tokens/short')).state;
  await expect.poll(standing, { timeout: 75_000 }).toBe('expired');
  await atTheDoor(async (page) => {
    await signIn(page, short);
    await expect(page.getByRole('alert')).toContainText('unauthenticated');
    await expect(page.getByRole('alert')).toContainText(/the token short ended at 20\d\d-.*; make a new one with/);
  });
});

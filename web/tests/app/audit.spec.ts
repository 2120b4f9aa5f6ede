// Who did what, from where, and how it ended: as it happens, found again, and only for who may look.
import type { Page } from '@playwright/test';
import { Afar } from '../afar';
import { accessible, expect, test } from '../fixture';

const WORDS = 'words that are long enough';
const lines = (page: Page) => page.getByRole('region', { name: 'Lines' }).locator('ul > li');
const go = (page: Page, hash: string) => page.evaluate((to) => void (location.hash = to), hash);

test.describe('people from elsewhere', () => {
  let afar: Afar;

  test.beforeAll(async () => {
    afar = await Afar.open(test.info().project.use.launchOptions);
    for (const [name, role] of [['ann', 'admin'], ['bob', 'operator'], ['eve', 'viewer']]) {
      await afar.site.api('POST', '/users', { name, role });
      await afar.site.api('PUT', `/users/${name}/password`, { password: WORDS });
    }
  });
  test.afterAll(() => afar.close());

  /** Signs in, and waits until the page is live. */
  async function asPerson(name: string, work: (page: Page) => Promise<void>): Promise<void> {
    await afar.atTheDoor(async (page) => {
      await page.getByLabel('Name', { exact: true }).fill(name);
      await page.getByLabel('Password', { exact: true }).fill(WORDS);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await expect(page.getByText('Live', { exact: true })).toBeVisible();
      await work(page);
    });
  }

  test('what people do in the page and are refused shows up with name and address, and the filter outlives a reload', async () => {
    test.setTimeout(120_000);
    await asPerson('ann', async (ann) => {
      await ann.getByRole('link', { name: 'Audit', exact: true }).click();
      await expect(lines(ann).filter({ hasText: 'session:ann' }).first(), 'her own signing in').toBeVisible();
      await asPerson('bob', async (bob) => {
        await go(bob, '#/machines');
        await bob.getByRole('button', { name: 'Register a machine' }).click();
        const dialog = bob.getByRole('dialog');
        await dialog.getByLabel(/^MAC/).fill('52:54:00:ad:00:01');
        await dialog.getByLabel(/^Name/).fill('theirs');
        await dialog.getByRole('button', { name: 'Register', exact: true }).click();
        await expect(dialog).toHaveCount(0);
      });
      const done = lines(ann).filter({ hasText: 'machine.registered' });
      await expect(done).toContainText('session:bob');
      await expect(done).toContainText('from 127.0.0.1');
      await expect(done.getByText('done', { exact: true })).toBeVisible();
      await expect(done.getByRole('link', { name: 'theirs' })).toHaveAttribute('href', '#/machines/theirs');

      await asPerson('eve', async (eve) => {
        await go(eve, '#/machines/theirs');
        await eve.getByRole('button', { name: 'Inspect at next boot' }).click();
        await expect(eve.getByRole('alert').filter({ hasText: 'forbidden' })).toBeVisible();
      });
      const refused = lines(ann).filter({ hasText: '/inspect' });
      await expect(refused.getByText('refused', { exact: true })).toBeVisible();
      await expect(refused).toContainText('session:eve');
      await expect(refused).toContainText('from 127.0.0.1');
      await expect(refused).toContainText('this needs operator');
      await refused.getByText(/^Line \d+/).click();
      await expect(refused.getByText('POST /api/v1/machines/{machine}/inspect', { exact: true })).toBeVisible();

      await ann.getByLabel('Outcome').selectOption('refused');
      await expect(done).toHaveCount(0);
      await expect(refused).toHaveCount(1);
      await ann.reload();
      await expect(ann.getByLabel('Outcome')).toHaveValue('refused');
      await expect(refused).toHaveCount(1);
      await expect(done).toHaveCount(0);
      await ann.getByRole('button', { name: 'Show all' }).click();
      await done.getByRole('link', { name: 'session:bob' }).click();
      await expect(ann.getByLabel('Who')).toHaveValue('session:bob');
      await expect(refused).toHaveCount(0);
      await expect(done).toHaveCount(1);
      await accessible(ann);
    });
  });

  test('who may not look is told so by the controller, once, and has no such screen', async () => {
    await asPerson('eve', async (eve) => {
      await expect(eve.getByRole('link', { name: 'Events', exact: true })).toBeVisible();
      await expect(eve.getByRole('link', { name: 'Audit', exact: true })).toHaveCount(0);
      await go(eve, '#/audit');
      const told = eve.getByRole('alert').filter({ hasText: 'forbidden' });
      await expect(told).toContainText('session:eve has the role viewer; this needs admin');
      // Her refusal is an event, too, and other events follow it: none makes the page ask again.
      await afar.site.register('52:54:00:ad:00:02', 'later');
      await go(eve, '#/machines');
      await expect(eve.getByRole('link', { name: 'later' })).toBeVisible();
      const asked = await afar.site.api<{ items: unknown[] }>('GET', '/audit?who=eve&outcome=refused&what=api.refused');
      expect(asked.items.filter((line) => JSON.stringify(line).includes('GET /api/v1/audit'))).toHaveLength(1);
    });
  });
});

test('a machine leads to its lines: what it was told to boot, and older ones page by page', async ({ app, site }) => {
  test.setTimeout(90_000);
  await site.register('52:54:00:ad:01:01', 'busy1');
  for (let n = 1; n <= 120; n += 1) await site.api('PATCH', '/machines/busy1', { labels: { n: String(n) } });
  await site.boots('52:54:00:ad:01:01');
  await go(app, '#/machines/busy1');
  await app.getByRole('link', { name: 'who did what to it' }).click();
  await expect(app.getByLabel('Machine')).toHaveValue('busy1');
  await expect(lines(app).first()).toContainText('boot.told');
  await expect(lines(app).first().getByText('told', { exact: true })).toBeVisible();
  await expect(lines(app)).toHaveCount(100);
  await app.getByRole('button', { name: 'Older lines' }).click();
  await expect(lines(app)).toHaveCount(122);
  await expect(lines(app).last()).toContainText('machine.registered');
  await expect(app.getByRole('button', { name: 'Older lines' })).toHaveCount(0);
  await expect(lines(app).last()).toContainText('uid 0');

  await app.getByLabel('What').fill('machine.registered');
  await app.keyboard.press('Enter');
  await expect(lines(app)).toHaveCount(1);
  await app.getByLabel('Since').fill('2090-01-01T00:00');
  await expect(app.getByText('No line fits')).toBeVisible();
  expect(app.url()).toMatch(/since=2090-01-01|since=2089-12-31/);
  await app.getByLabel('Since').fill('2020-01-01T00:00');
  await expect(lines(app)).toHaveCount(1);
  await app.getByLabel('Until').fill('2020-01-02T00:00');
  await expect(app.getByText('No line fits')).toBeVisible();
});

test('a filter that makes no sense is refused with its code, and the way out is beside it', async ({ app }) => {
  await go(app, '#/audit?machine=nobody-knows-it&since=yesterday');
  await expect(app.getByRole('alert')).toContainText(/machine-not-found|bad-value/);
  await app.getByRole('button', { name: 'Show all' }).click();
  await expect(app.getByRole('alert')).toHaveCount(0);
  expect(app.url()).toMatch(/#\/audit$/);
});

test('lines are there although every event is lost', async ({ page, door, site }) => {
  // Every stream ends before it tells anything: only what follows the last line that was looked at can show what is new.
  await page.route('**/api/v1/events/stream', (route) => route.fulfill({ contentType: 'text/event-stream', body: ': live\nid: 1\n\n' }));
  await page.goto(door.address);
  await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
  await go(page, '#/audit?what=machine.registered');
  await expect(page.getByRole('status').filter({ hasText: 'the newest first' })).toBeVisible();
  await site.register('52:54:00:ad:02:01', 'unheard-of');
  await expect(lines(page).filter({ hasText: 'unheard-of' })).toBeVisible();
});

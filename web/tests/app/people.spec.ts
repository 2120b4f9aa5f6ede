// People sign in with a password, and their browser shows a cookie that no script reads.
import type { Page } from '@playwright/test';
import { Afar } from '../afar';
import { accessible, expect, test } from '../fixture';

let afar: Afar;

test.beforeAll(async () => {
  afar = await Afar.open(test.info().project.use.launchOptions);
});
test.afterAll(() => afar.close());

const FIRST = 'a first word of mine';
const SECOND = 'some other words then';

async function signInAs(page: Page, name: string, password: string): Promise<void> {
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

test('a person signs in by password, stays so over a reload, ends a session, changes the password, and signs out', async () => {
  test.setTimeout(120_000);
  await afar.site.api('POST', '/users', { name: 'eve', role: 'operator' });
  await afar.site.api('PUT', '/users/eve/password', { password: FIRST });
  await afar.site.register('52:54:00:ee:00:04', 'cookie1');
  await afar.atTheDoor(async (page) => {
    await accessible(page);
    await signInAs(page, 'eve', SECOND);
    await expect(page.getByRole('alert')).toContainText('sign-in-refused');
    await signInAs(page, 'eve', FIRST);
    await expect(page.getByText('operator', { exact: true })).toBeVisible();

    const cookies = await page.context().cookies();
    expect(cookies.map(({ name, httpOnly, secure, sameSite }) => ({ name, httpOnly, secure, sameSite }))).toEqual([{ name: '__Host-enforcer-session', httpOnly: true, secure: true, sameSite: 'Strict' }]);
    const readable = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    expect(readable).not.toContain(cookies[0]?.value);
    expect(readable).not.toContain(FIRST);
    await page.reload();
    await expect(page.getByText('Live', { exact: true })).toBeVisible();

    // What changes something is done too: the page is the controller's own.
    await page.evaluate(() => void (location.hash = '#/machines/cookie1'));
    await page.getByRole('button', { name: 'Inspect at next boot' }).click();
    await expect(page.getByText('Its next boot is the management OS')).toBeVisible();

    await page.evaluate(() => void (location.hash = '#/settings?part=sessions'));
    await expect(page.getByRole('row', { name: /this one/ })).toContainText('127.0.0.1');
    await accessible(page);
    await afar.atTheDoor(async (other) => {
      await signInAs(other, 'eve', FIRST);
      await expect(other.getByText('Live', { exact: true })).toBeVisible();
      const row = page.getByRole('row', { name: /eve/ }).filter({ hasNotText: 'this one' });
      await row.getByRole('button', { name: 'End…' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'End it' }).click();
      await expect(row).toHaveCount(0);
      await other.evaluate(() => void (location.hash = '#/images'));
      await expect(other.getByRole('alert')).toContainText('You are signed out');
    });

    const change = page.getByRole('form', { name: 'Change your password' });
    await change.getByLabel('Your password now').fill(SECOND);
    await change.getByLabel(/The new one/).fill(SECOND);
    await change.getByRole('button', { name: 'Change it' }).click();
    await expect(change.getByRole('alert')).toContainText('sign-in-refused');
    await change.getByLabel('Your password now').fill(FIRST);
    await change.getByRole('button', { name: 'Change it' }).click();
    await expect(page.getByLabel('Password', { exact: true }), 'the own session ended as well').toBeVisible();
    await signInAs(page, 'eve', SECOND);
    await expect(page.getByText('Live', { exact: true })).toBeVisible();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await expect(page.getByLabel('Password', { exact: true })).toBeVisible();
    expect(await page.context().cookies()).toEqual([]);
    await page.reload();
    await expect(page.getByLabel('Password', { exact: true })).toBeVisible();
    expect((await afar.site.api<{ items: unknown[] }>('GET', '/sessions')).items).toEqual([]);
  });
});

test('an admin gives somebody a password, and they sign in with it', async ({ page }) => {
  const door = await afar.site.door();
  await afar.site.api('POST', '/users', { name: 'zoe', role: 'viewer' });
  await page.goto(door.address);
  await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
  await page.evaluate(() => void (location.hash = '#/settings'));
  const row = page.getByRole('row', { name: /zoe/ });
  await expect(row).toContainText('none');
  await row.getByRole('button', { name: 'Set…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel(/Password/).fill('zoe zoe zoe zoe zoe');
  await dialog.getByRole('button', { name: 'Set it' }).click();
  await expect(dialog.getByRole('alert')).toContainText('password');
  await dialog.getByLabel(/Password/).fill(SECOND);
  await dialog.getByRole('button', { name: 'Set it' }).click();
  await expect(dialog).toHaveCount(0);
  await expect(row).not.toContainText('none');
  await afar.atTheDoor(async (other) => {
    await signInAs(other, 'zoe', SECOND);
    await expect(other.getByText('Viewer: look only')).toBeVisible();
  });
});

// People sign in at an identity provider, by the button at the door.
import type { Page } from '@playwright/test';
import { Afar } from '../afar';
import { accessible, expect, test } from '../fixture';
import { consent, Provider } from '../provider';

let afar: Afar;
let provider: Provider;

test.beforeAll(async () => {
  test.setTimeout(180_000);
  provider = await Provider.reserve();
  const settings = (origin: string) => provider.settings(origin, 'boot-admins', 'operator');
  afar = await Afar.open(test.info().project.use.launchOptions, settings);
  await provider.start(afar.origin);
});
test.afterAll(async () => {
  // Whichever was started before a start failed.
  await afar?.close();
  provider?.stop();
});

/** Presses the button at the door of `hash`, and is at the provider. */
async function goesThere(page: Page, hash: string): Promise<void> {
  // Its forms want a font of the internet.
  await page.route('https://fonts.googleapis.com/**', (route) => route.abort());
  await page.goto(`${afar.origin}/${hash}`);
  await page.reload();
  const button = page.getByRole('link', { name: 'Sign in with the lab', exact: true });
  await expect(button).toBeVisible();
  await accessible(page);
  await button.click();
  await expect(page).toHaveURL((url) => url.origin === provider.issuer);
}

test('who signs in at the identity provider comes back to where they were, with the role that their group has', async () => {
  await afar.site.register('52:54:00:ee:00:05', 'sso1');
  await afar.atTheDoor(async (page) => {
    await goesThere(page, '#/machines/sso1');
    await consent(page, 'ada');
    await expect(page).toHaveURL(`${afar.origin}/#/machines/sso1`);
    await expect(page.getByText('ada', { exact: true })).toBeVisible();
    await expect(page.getByText('operator', { exact: true })).toBeVisible();
    const users = await afar.site.api<{ items: { name: string; role: string; oidc: string }[] }>('GET', '/users');
    expect(users.items.map(({ name, role, oidc }) => ({ name, role, oidc }))).toEqual([{ name: 'ada', role: 'operator', oidc: 'bound' }]);

    // The way's own cookie is gone, and the session's is as strict as a password's.
    const cookies = (await page.context().cookies(afar.origin)).filter(({ domain }) => domain === 'localhost');
    expect(cookies.map(({ name, httpOnly, secure, sameSite }) => ({ name, httpOnly, secure, sameSite }))).toEqual([{ name: '__Host-enforcer-session', httpOnly: true, secure: true, sameSite: 'Strict' }]);
    await page.reload();
    await page.getByRole('button', { name: 'Inspect at next boot' }).click();
    await expect(page.getByText('Its next boot is the management OS'), 'an operator may').toBeVisible();

    // Here they are signed out; at the provider they are not, and it asks nothing.
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in with the lab' }).click();
    await expect(page.getByText('operator', { exact: true })).toBeVisible();
  });
});

test('who has no group that counts is told so, and is at the door again', async () => {
  await afar.atTheDoor(async (page) => {
    await goesThere(page, '#/fleet');
    await consent(page, 'eve');
    await expect(page.getByText('oidc-no-access', { exact: true })).toBeVisible();
    await accessible(page);
    await page.getByRole('link', { name: 'Back' }).click();
    await expect(page.getByLabel('Password', { exact: true })).toBeVisible();
    expect(await page.context().cookies(afar.origin)).toEqual([]);
  });
});

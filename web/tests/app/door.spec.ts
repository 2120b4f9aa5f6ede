// Who gets in, and what they may.
import { expect, test } from '../fixture';

test('a wrong token is refused with its code and cure', async ({ page, door }) => {
  await page.goto(door.origin);
  await page.getByLabel('Token').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('alert')).toContainText('unauthenticated');
  await expect(page.getByRole('alert')).toContainText('open the address that it shows');
  await page.getByLabel('Token').fill(door.token);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Fleet' })).toBeVisible();
});

test('the token is kept nowhere', async ({ app, door }) => {
  expect(app.url()).not.toContain(door.token);
  const kept = await app.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  expect(kept).not.toContain(door.token);
  await app.reload();
  await expect(app.getByLabel('Token')).toBeVisible();
});

test('a viewer sees everything and is refused what changes it, with the reason', async ({ page, site }) => {
  await site.register('52:54:00:aa:00:01', 'look-only');
  const door = await site.door('viewer');
  await page.goto(door.address);
  await expect(page.getByText('Viewer: look only')).toBeVisible();
  await page.goto(`${door.origin}/#/machines/look-only`);
  await page.getByRole('button', { name: 'Inspect at next boot' }).click();
  const told = page.getByRole('alert').filter({ hasText: 'forbidden' });
  await expect(told).toContainText('local:vera has the role viewer; this needs operator');
  const after = await site.api<{ name: string }>('GET', '/machines/look-only');
  expect(JSON.stringify(after)).not.toContain('management');
});

test('the page may do nothing but what its policy names', async ({ page, door }) => {
  const answer = await page.goto(door.origin);
  expect(answer?.headers()['content-security-policy']).toContain("default-src 'none'; script-src 'self'");
  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.inlineRan = true';
    document.head.append(script);
    return 'inlineRan' in window;
  });
  expect(ran).toBe(false);
});

// The page that shows the API's document: from the controller alone, under its own policy.
import { expect, test } from '../fixture';

test('the reader shows every operation, finds them by words, and asks nobody else', async ({ page, door }) => {
  const elsewhere: string[] = [];
  const refused: string[] = [];
  page.on('request', (request) => { if (!request.url().startsWith(door.origin)) elsewhere.push(request.url()); });
  page.on('console', (message) => { if (/Content.Security.Policy/.test(message.text())) refused.push(message.text()); });
  await page.goto(`${door.origin}/api/docs#token=${door.token}`);
  await expect(page.getByRole('status')).toContainText('operations');
  expect(page.url()).not.toContain(door.token);
  const operations = page.locator('details.operation');
  expect(await operations.count()).toBeGreaterThan(100);
  await page.getByLabel('Find').fill('register machine');
  const register = page.locator('details#machines_register');
  await expect(register).toBeVisible();
  await expect(page.locator('details#webhooks_list')).toBeHidden();
  await register.locator('summary').first().click();
  await expect(register).toContainText('Needs the role operator.');
  await register.getByText('application/json Register').click();
  await expect(register).toContainText('The MAC of one of its NICs');
  expect([elsewhere, refused]).toEqual([[], []]);
});

test('without a token the reader asks for one', async ({ page, door }) => {
  await page.goto(`${door.origin}/api/docs`);
  await expect(page.getByRole('status')).toContainText('token');
  await page.getByLabel('Token').fill(door.token);
  await page.getByRole('button', { name: 'Read' }).click();
  await expect(page.getByRole('status')).toContainText('operations');
});

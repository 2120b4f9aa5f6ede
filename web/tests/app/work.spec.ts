// What an operator does: boot configs, images, people; and what they are asked before something is lost.
import { expect, test } from '../fixture';
import { Site } from '../site';

test('a boot config is written, previewed as it is served, made due, and served', async ({ app, site }) => {
  await site.register('52:54:00:cc:00:01', 'cfg1');
  await app.goto(`${new URL(app.url()).origin}/#/machines/cfg1?tab=boot`);
  await app.getByRole('button', { name: 'New boot config…' }).click();
  const dialog = app.getByRole('dialog');
  await dialog.getByLabel('Name').fill('hello');
  await dialog.getByLabel('What it runs').selectOption('ipxe');
  await dialog.getByLabel('Script, a template').fill('#!ipxe\necho Hello {{ name }}\nexit');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(app.getByLabel('Script', { exact: true })).toContainText('Hello cfg1');
  await app.getByRole('button', { name: 'At every boot' }).click();
  await expect(app.getByText('standing', { exact: true })).toBeVisible();
  await site.boots('52:54:00:cc:00:01');
  await app.getByRole('tab', { name: 'timeline' }).click();
  await expect(app.locator('ol').getByText('activation.served')).toBeVisible();
});

test('a mistake in a boot config is told with its code and stays in the form', async ({ app, site }) => {
  await site.register('52:54:00:cc:00:02', 'cfg2');
  await app.goto(`${new URL(app.url()).origin}/#/machines/cfg2?tab=boot`);
  await app.getByRole('button', { name: 'New boot config…' }).click();
  const dialog = app.getByRole('dialog');
  await dialog.getByLabel('Name').fill('broken');
  await dialog.getByLabel('What it runs').selectOption('ipxe');
  await dialog.getByLabel('Script, a template').fill('#!ipxe\n{{ unclosed');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByRole('alert')).toContainText('boot-config-invalid');
  await expect(dialog.getByLabel('Script, a template')).toHaveValue(/unclosed/);
});

test('explain says what it would boot, and by which rule', async ({ app, site }) => {
  await site.register('52:54:00:cc:00:03', 'why1');
  await app.goto(`${new URL(app.url()).origin}/#/machines/why1?tab=boot`);
  await expect(app.getByRole('heading', { name: 'If it booted now' })).toBeVisible();
  await expect(app.locator('li.decided')).toHaveCount(1);
});

test('a disk goes up in chunks, and its next version sends only what changed', async ({ app, site }) => {
  const disk = Buffer.alloc(5 << 20, 0);
  disk.fill(1, 0, 1 << 20);
  disk.fill(2, 3 << 20, 4 << 20);
  await app.goto(`${new URL(app.url()).origin}/#/images`);
  const send = async (bytes: Buffer, name: string) => {
    await app.locator('input[type=file]').setInputFiles({ name, mimeType: 'application/octet-stream', buffer: bytes });
    await app.getByRole('button', { name: /^Send/ }).click();
  };
  await send(disk, 'disk.raw');
  const card = app.getByRole('region', { name: 'disk' });
  await expect(card.getByText('@1')).toBeVisible();
  disk.fill(3, 4 << 20, 5 << 20);
  await send(disk, 'disk.raw');
  await expect(card.getByText('@2')).toBeVisible();
  const image = await site.api<{ versions: { size: number; data_bytes: number; new_bytes: number }[] }>('GET', '/images/disk');
  expect(image.versions.map((v) => [v.size, v.data_bytes])).toEqual([[5 << 20, 2 << 20], [5 << 20, 3 << 20]]);
  expect(image.versions[1]?.new_bytes).toBeLessThanOrEqual(1 << 20);
});

test('what is no disk is refused before a byte is sent', async ({ app }) => {
  await app.goto(`${new URL(app.url()).origin}/#/images`);
  await app.locator('input[type=file]').setInputFiles({ name: 'x.raw', mimeType: 'application/octet-stream', buffer: Buffer.from('hello') });
  await app.getByRole('button', { name: /^Send/ }).click();
  await expect(app.getByRole('alert')).toContainText('not-a-disk');
});

test('an image is deleted only when its name was typed', async ({ app, site }) => {
  await app.goto(`${new URL(app.url()).origin}/#/images`);
  await site.api('PUT', '/images/goner/versions', Buffer.alloc(1 << 20, 7));
  const card = app.getByRole('region', { name: 'goner' });
  await card.getByRole('button', { name: 'Delete…' }).first().click();
  const go = app.getByRole('dialog').getByRole('button', { name: 'Delete' });
  await expect(go).toBeDisabled();
  await app.getByLabel(/Type goner/).fill('goner');
  await go.click();
  await expect(card).toHaveCount(0);
});

test('deploying asks for the machine by name, then waits in its lane and can be cancelled', async ({ app, site }) => {
  await site.register('52:54:00:cc:00:04', 'disk1');
  await site.api('PUT', '/images/base/versions', Buffer.alloc(1 << 20, 9));
  await app.goto(`${new URL(app.url()).origin}/#/machines/disk1`);
  await app.getByRole('button', { name: 'Deploy…' }).click();
  const dialog = app.getByRole('dialog');
  await dialog.getByRole('combobox', { name: 'Image', exact: true }).selectOption('base');
  const go = dialog.getByRole('button', { name: 'Overwrite and deploy' });
  await expect(go).toBeDisabled();
  await dialog.getByLabel("Machine's name").fill('disk1');
  await go.click();
  await expect(dialog).toHaveCount(0);
  await app.goto(`${new URL(app.url()).origin}/#/deployments`);
  const lane = app.getByRole('region', { name: 'Queue of disk1' });
  await expect(lane.getByText('queued')).toBeVisible();
  await expect(lane.getByText(/accept/)).toBeVisible();
  await lane.getByRole('button', { name: 'Cancel…' }).click();
  await app.getByRole('dialog').getByRole('button', { name: 'Cancel it' }).click();
  await expect(lane).toHaveCount(0);
  await expect(app.locator('article').getByText('cancelled', { exact: true })).toBeVisible();
});

test('empty lists tell the next command', async ({ page }) => {
  const site = await new Site().start();
  try {
    const door = await site.door();
    await page.goto(door.address);
    const commands: [string, string][] = [['fleet', 'enforcer machines register'], ['machines', 'enforcer machines register'], ['images', 'enforcer images push'], ['deployments', 'enforcer deploy'], ['mesh', 'enforcer join-tokens create'], ['sites', 'enforcer peers invite'], ['audit', 'enforcer machines register'], ['settings', 'enforcer users create']];
    for (const [screen, command] of commands) {
      await page.evaluate((hash) => (location.hash = hash), `#/${screen}`);
      await expect(page.getByText(command), screen).toBeVisible();
    }
  } finally {
    await site.stop();
  }
});

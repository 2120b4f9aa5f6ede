// A real agent, from the stranger that waits to the member that dies.
import { expect, test } from '../fixture';
import { Agent } from '../agent';

test('a key that waits is compared by its code, accepted, and its machine is alive; killed, it turns', async ({ app, site }) => {
  test.setTimeout(90_000);
  const origin = new URL(app.url()).origin;
  const agent = new Agent(site, 11);
  try {
    await app.goto(`${origin}/#/pending`);
    const joined = agent.join();
    joined.catch(() => undefined);
    const code = app.locator('.code');
    await expect(code).toHaveText(/\d/);
    const shown = (await code.textContent()) ?? '';
    await expect.poll(() => agent.log, 'the machine shows the same code').toContain(shown);
    await expect(app.getByRole('link', { name: /Pending 1/ })).toBeVisible();
    await app.getByRole('button', { name: /accept/ }).click();
    await joined;
    await expect(app.getByText('Nobody waits')).toBeVisible();
    agent.start();

    const found = await site.api<{ items: { name: string; macs: string[] }[] }>('GET', '/machines');
    const name = found.items.find((m) => m.macs.includes(agent.mac))?.name ?? '';
    await app.goto(`${origin}/#/machines/${name}?tab=hardware`);
    await expect(app.getByText('alive', { exact: true })).toBeVisible();
    await expect(app.getByText('DISK-11')).toBeVisible();
    await expect(app.getByText('EnforcerLab', { exact: true })).toBeVisible();

    await site.api('PUT', '/images/small/versions', Buffer.alloc(1 << 20, 3));
    await app.getByRole('button', { name: 'Deploy…' }).click();
    const dialog = app.getByRole('dialog');
    const loss = dialog.locator('.loss');
    await expect(loss).toContainText('DISK-11');
    await expect(loss).toContainText('64.0 MiB');
    await app.keyboard.press('Escape');

    await app.goto(`${origin}/#/mesh`);
    await expect(app.getByRole('img', { name: /1 alive/ })).toBeVisible();
    agent.kill();
    await expect(app.getByRole('img', { name: /0 alive/ })).toBeVisible({ timeout: 20_000 });
    await expect(app.getByRole('region', { name: 'Not alive' })).toContainText(name);
    await expect(app.getByText('down', { exact: true }).first()).toBeVisible({ timeout: 25_000 });
  } finally {
    agent.stop();
  }
});

// A certificate that ends soon is told where people look first.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessible, expect, test } from '../fixture';
import { freePort, Site } from '../site';

test('the fleet warns of a certificate that ends within a month, also before there is a machine, and leads to its cure', async ({ page }) => {
  const folder = mkdtempSync(join(tmpdir(), 'enforcer-ending-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '12', '-subj', '/CN=boot.example.org', '-addext', 'subjectAltName=DNS:boot.example.org', '-keyout', key, '-out', cert], { stdio: 'pipe' });
  chmodSync(folder, 0o755);
  const site = await new Site(`[api]\nlisten = "127.0.0.1:${await freePort()}"\ncert_file = "${cert}"\nkey_file = "${key}"\n`).start();
  try {
    const door = await site.door();
    await page.goto(door.address);
    await expect(page.getByText('No machine yet')).toBeVisible();
    const needs = page.getByRole('region', { name: 'Needs a person now' });
    await expect(needs.getByRole('listitem')).toHaveCount(1);
    await expect(needs).toContainText('ends soon');
    await expect(needs).toContainText(/It ends in 11d .*put new files there before it ends/);
    await accessible(page);
    await needs.getByRole('link', { name: /The API’s port/ }).click();
    const shown = page.getByRole('region', { name: 'The API’s port' });
    await expect(shown.getByText('ends soon', { exact: true })).toBeVisible();
    await expect(shown).toContainText('CN=boot.example.org');
  } finally {
    await site.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

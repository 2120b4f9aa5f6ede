// Two projects: `unit` needs no browser, `app` drives Debian's Chromium against a real controller.
import { defineConfig } from '@playwright/test';

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  // One controller per worker, and two cores for all.
  workers: 2,
  fullyParallel: false,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [['list']],
  forbidOnly: true,
  projects: [
    { name: 'unit', testDir: 'tests/unit' },
    {
      name: 'app',
      testDir: 'tests/app',
      use: {
        browserName: 'chromium',
        viewport: { width: 1280, height: 860 },
        // Sandboxes need rights that root in a container lacks; the pages are ours.
        launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] },
        screenshot: 'only-on-failure',
      },
    },
  ],
});

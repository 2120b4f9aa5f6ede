// axe-core in the page. Our policy forbids inline code, so it comes in by the debugger's way and not by a script element.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from '@playwright/test';
import type { AxeResults, Result } from 'axe-core';

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export default class AxeBuilder {
  constructor(private readonly page: Page) {}

  async analyze(): Promise<Result[]> {
    await this.page.evaluate(source);
    const results = await this.page.evaluate(() => (window as unknown as { axe: { run: () => Promise<AxeResults> } }).axe.run());
    return results.violations;
  }
}

import { expect, test } from '@playwright/test';
import type { Certificate } from '../../src/api/types';
import { needs } from '../../src/screens/fleet/needs';

const DAY = 24 * 3600_000;
const NOW = Date.parse('2026-06-01T00:00:00Z');
const at = (days: number) => new Date(NOW + days * DAY).toISOString();
const NEXT = 'put new files there before it ends';

function port(from: number, until: number | null, renews: number | null = null): Certificate {
  const end = until === null ? {} : { not_after: at(until) };
  return { kind: 'api', subject: 'CN=x', issuer: 'CN=y', names: [], sha256: '00', pem: '', next: NEXT, not_before: at(from), ...end, ...(renews === null ? {} : { renews: at(renews) }) };
}

test('a certificate waits for a person when it ends within a month or has ended, with what cures it', () => {
  const told = (one: Certificate) => needs([], [], [one], NOW).map(({ tone, word, who, why, link }) => ({ tone, word, who, why, link }));
  const [soon] = told(port(-60, 12));
  expect(soon).toMatchObject({ tone: 'warn', word: 'ends soon', who: 'The API’s port: certificate', link: '#/settings?part=certificates' });
  expect(soon?.why).toMatch(/^It ends in 12d 0h, on .*: put new files there before it ends$/);
  const [ended] = told(port(-90, -1));
  expect(ended).toMatchObject({ tone: 'bad', word: 'ended' });
  expect(ended?.why).toContain(NEXT);
  expect(told(port(-70, 20, -1))[0]?.why, 'what renews itself did not').toMatch(/^It ends in 20d 0h, .*was to be renewed by itself on .*; restart the controller/);
  expect(told(port(1, 90))).toMatchObject([{ tone: 'bad', word: 'not yet good' }]);
});

test('what has time, renews itself or does not end needs nobody', () => {
  for (const fine of [port(-1, 31), port(-70, 20, 1), port(-90, null)]) expect(needs([], [], [fine], NOW)).toEqual([]);
});

import { expect, test } from '@playwright/test';
import { age, fingerprint } from '../../src/lib/certificate';

const DAY = 24 * 3600_000;
const NOW = Date.parse('2026-06-01T00:00:00Z');
const at = (days: number) => new Date(NOW + days * DAY).toISOString();

test('a certificate of files is told of a month before its end, one that renews itself only when it did not', () => {
  expect(age(at(-1), at(31), null, NOW)).toBe('good');
  expect(age(at(-1), at(29), null, NOW)).toBe('ends soon');
  expect(age(at(-70), at(20), at(1), NOW)).toBe('good');
  expect(age(at(-70), at(20), at(-1), NOW)).toBe('ends soon');
  expect(age(at(-90), at(-0.01), null, NOW)).toBe('ended');
  expect(age(at(-90), null, null, NOW)).toBe('good');
  expect(age(at(0.1), at(90), null, NOW)).toBe('not yet good');
});

test('a fingerprint is written as browsers and openssl write it', () => {
  expect(fingerprint('00ff1a')).toBe('00:FF:1A');
});

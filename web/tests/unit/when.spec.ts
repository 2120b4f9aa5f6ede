import { expect, test } from '@playwright/test';
import { fromPicked, toPicked } from '../../src/lib/when';
import { filterOf } from '../../src/screens/audit/filter';

test('a time that was picked is asked for in UTC and picked again the same', () => {
  const picked = '2026-03-29T12:34';
  const asked = fromPicked(picked);
  expect(asked).toMatch(/^2026-03-\d\dT\d\d:\d\d:00Z$/);
  expect(Date.parse(asked)).toBe(new Date(2026, 2, 29, 12, 34).getTime());
  expect(toPicked(asked)).toBe(picked);
  expect([fromPicked(''), toPicked(''), toPicked('yesterday')]).toEqual(['', '', '']);
});

test('the address asks for what the API knows, and for nothing that is empty', () => {
  expect(filterOf({ who: 'ann', what: '', outcome: 'refused', tab: 'log' })).toEqual({ who: 'ann', outcome: 'refused' });
});

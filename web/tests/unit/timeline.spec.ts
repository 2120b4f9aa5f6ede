// Claims about how events become boots.
import { expect, test } from '@playwright/test';
import { boots, slower, slowest } from '../../src/lib/timeline';
import type { Event } from '../../src/api/types';

let seq = 0;
function event(kind: string, seconds: number): Event {
  seq += 1;
  return { seq, kind, at: new Date(1_800_000_000_000 + seconds * 1000).toISOString(), text: kind, fields: {}, machine: 'm' };
}

test('a boot has its steps in order, with how long each took', () => {
  const [boot] = boots([event('boot.firmware-offered', 0), event('boot.firmware-loaded', 1), event('boot.script-offered', 3), event('boot.told', 3.5), event('member.alive', 20)]);
  expect(boot?.steps.map((s) => s.ms)).toEqual([1000, 2000, 500, 16_500, null]);
});

test('what people do is no part of a boot', () => {
  expect(boots([event('machine.registered', 0), event('config.set', 1)])).toEqual([]);
});

test('firmware that asks again before it got anything is at the same boot', () => {
  expect(boots([event('boot.firmware-offered', 0), event('boot.firmware-offered', 4), event('boot.script-offered', 9), event('boot.told', 10)])).toHaveLength(1);
});

test('firmware that asks after it was told what to boot is at the next boot, which comes first', () => {
  const found = boots([event('boot.firmware-offered', 0), event('boot.told', 5), event('boot.firmware-offered', 60), event('boot.told', 63)]);
  expect(found.map((b) => b.steps.length)).toEqual([2, 2]);
  expect(found[0]?.from).toBeGreaterThan(found[1]?.from ?? Infinity);
});

test('a long silence ends a boot', () => {
  expect(boots([event('boot.told', 0), event('member.down', 7200)])).toHaveLength(2);
});

test('the longest step is named only where it stands out', () => {
  const [uneven] = boots([event('boot.told', 0), event('boot.management-os', 1), event('member.alive', 30)]);
  expect(uneven && slowest(uneven)?.kind).toBe('boot.management-os');
  const even = boots([0, 1, 2, 3, 4, 5].map((s) => event('boot.management-os', s)))[0];
  expect(even && slowest(even)).toBeNull();
});

test('a boot is slow beside those before it', () => {
  const all = boots([0, 10_000, 20_000].flatMap((from, i) => [event('boot.script-offered', from), event('boot.told', from + (i === 2 ? 30 : 5))]));
  expect(slower(all, 0)).toBe(25_000);
  expect(slower(all, 1)).toBeNull();
});

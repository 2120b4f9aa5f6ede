// Claims about what goes over the wire: live streams, manifests, addresses.
import { expect, test } from '@playwright/test';
import { encodeManifest, isZero, parcel } from '../../src/api/manifest';
import { SseParser, pauseMs } from '../../src/api/sse';
import { href, parse } from '../../src/lib/route';

test('a stream is understood wherever it is cut', () => {
  const text = ': live\nid: 7\n\nevent: event\nid: 8\ndata: {"a":1}\n\nevent: reset\r\nid: 9\r\ndata: {}\r\n\r\n';
  const whole = new SseParser().feed(text);
  expect(whole).toEqual([{ event: 'message', data: '', id: '7' }, { event: 'event', data: '{"a":1}', id: '8' }, { event: 'reset', data: '{}', id: '9' }]);
  for (let cut = 1; cut < text.length; cut += 1) {
    const parser = new SseParser();
    expect([...parser.feed(text.slice(0, cut)), ...parser.feed(text.slice(cut))], `cut at ${cut}`).toEqual(whole);
  }
});

test('the pauses grow, end somewhere, and differ between pages', () => {
  expect([1, 2, 3].map((n) => pauseMs(n, 1))).toEqual([500, 1000, 2000]);
  expect(pauseMs(50, 1)).toBe(10_000);
  expect(pauseMs(3, 0)).toBe(1000);
});

test('a manifest has its runs, and holes between them', () => {
  const id = (n: number) => new Uint8Array(32).fill(n);
  const bytes = encodeManifest(5 << 20, [id(1), id(2), null, null, id(3)]);
  const view = new DataView(bytes.buffer);
  expect(new TextDecoder().decode(bytes.subarray(0, 8))).toBe('ENFIMG1\n');
  expect([view.getBigUint64(8, true), view.getUint32(16, true), view.getUint32(20, true), view.getUint32(24, true)]).toEqual([BigInt(5 << 20), 512, 1 << 20, 2]);
  expect([view.getUint32(28, true), view.getUint32(32, true)]).toEqual([0, 2]);
  expect([view.getUint32(100, true), view.getUint32(104, true)]).toEqual([4, 1]);
  expect(bytes.length).toBe(28 + 2 * 8 + 3 * 32);
});

test('a parcel says what it is before its bytes', () => {
  const [head, body] = parcel(new Uint8Array(32).fill(9), new Uint8Array([1, 2, 3]));
  expect([head?.length, head?.[32], [...(head?.subarray(33) ?? [])], body?.length]).toEqual([37, 1, [0, 0, 0, 3], 3]);
  expect([isZero(new Uint8Array(8)), isZero(new Uint8Array([0, 1]))]).toEqual([true, false]);
});

test('addresses name what they show, whatever it is called', () => {
  for (const name of ['web1', 'rack/1 ü?', '100%']) expect(parse(href('machines', name, { tab: 'log' }))).toEqual({ screen: 'machines', item: name, query: { tab: 'log' } });
  expect(parse('#/nowhere')).toEqual({ screen: 'fleet', item: null, query: {} });
});

// The boot timeline: a machine's events cut into boots, each a row of steps with how long each took.
import type { Event } from '../api/types';

export interface Step {
  kind: string;
  text: string;
  at: number;
  /** Until the next step; null for the last one. */
  ms: number | null;
}

export interface Boot {
  from: number;
  /** When its last step was. */
  to: number;
  steps: Step[];
}

/** Firmware that asks again within this time is still at the same boot: PXE ROMs repeat themselves for a minute. */
const SAME_BOOT_MS = 90_000;
/** After such a silence whatever comes is another boot. */
const LONG_SILENCE_MS = 30 * 60_000;
/** What is part of a boot; the rest of a machine's events is people's doing. */
const PARTS = /^(boot\.|activation\.(served|running|confirmed|failed|expired)|deployment\.(served|taken|captured|written|online|done|failed|handed-over)|machine\.(seen|facts|pending)|key\.enrolled|member\.(joined|alive|unreachable|down))/;
/** With these a machine begins. */
const STARTS = /^boot\.(firmware-offered|script-offered)$/;
/** These may come before anything else of a boot's beginning. */
const EARLY = /^(boot\.(firmware-offered|firmware-loaded|script-offered)|machine\.seen)$/;

/** The boots in `events` (any order), the newest first. */
export function boots(events: Event[]): Boot[] {
  const parts = events.filter((event) => PARTS.test(event.kind)).sort((a, b) => a.seq - b.seq);
  const found: Event[][] = [];
  for (const event of parts) {
    const current = found.at(-1);
    if (!current || begins(current, event)) found.push([event]);
    else current.push(event);
  }
  return found.map(bootOf).reverse();
}

function begins(current: Event[], event: Event): boolean {
  const at = Date.parse(event.at);
  const last = Date.parse(current.at(-1)?.at ?? event.at);
  if (at - last > LONG_SILENCE_MS) return true;
  if (!STARTS.test(event.kind)) return false;
  const early = current.every((e) => EARLY.test(e.kind));
  return !(early && at - last < SAME_BOOT_MS);
}

function bootOf(events: Event[]): Boot {
  const times = events.map((event) => Date.parse(event.at));
  const steps = events.map((event, i) => {
    const at = times[i] ?? 0;
    const next = times[i + 1];
    return { kind: event.kind, text: event.text, at, ms: next === undefined ? null : Math.max(0, next - at) };
  });
  return { from: times[0] ?? 0, to: times.at(-1) ?? 0, steps };
}

/** The step that took longest, where one stands out: at least a second, and a third of the whole. */
export function slowest(boot: Boot): Step | null {
  const whole = boot.to - boot.from;
  const longest = boot.steps.reduce<Step | null>((most, step) => ((step.ms ?? 0) > (most?.ms ?? 0) ? step : most), null);
  return longest?.ms && longest.ms >= 1000 && longest.ms * 3 >= whole ? longest : null;
}

/** How much longer than the middle one of the boots before it, where that says something. */
export function slower(all: Boot[], index: number): number | null {
  const boot = all[index];
  const before = all.slice(index + 1, index + 6).map((b) => b.to - b.from).filter((ms) => ms > 0).sort((a, b) => a - b);
  const middle = before[Math.floor(before.length / 2)];
  if (!boot || middle === undefined || before.length < 2) return null;
  const more = boot.to - boot.from - middle;
  return more > 2000 && more > middle * 0.2 ? more : null;
}

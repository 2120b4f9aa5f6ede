// Where the bars of a boot's picture are. Pure: milliseconds in, points out.
import { span } from '../../lib/format';
import type { Boot, Step } from '../../lib/timeline';

export interface Bar {
  step: Step;
  x: number;
  y: number;
  width: number;
  label: string;
  textX: number;
  anchor: 'start' | 'end';
  /** The words stand on the bar. */
  inside: boolean;
}
export interface Drawn {
  rows: Bar[];
  ticks: { x: number; ms: number }[];
  height: number;
}

const TOP = 24;
const ROW = 22;
const SLIVER = 4;
/** Steps that people call by these names; others by the kind's last word. */
const NAMES: Record<string, string> = {
  'boot.firmware-offered': 'firmware asks', 'boot.firmware-loaded': 'boot program loaded', 'boot.script-offered': 'iPXE asks', 'boot.told': 'told what to boot',
  'boot.management-os': 'management OS', 'machine.facts': 'hardware told', 'key.enrolled': 'key enrolled', 'member.joined': 'agent joined', 'member.alive': 'agent alive', 'machine.seen': 'first seen',
};

export function layout(boot: Boot, width: number): Drawn {
  const whole = Math.max(1, boot.to - boot.from);
  const x = (at: number) => ((at - boot.from) / whole) * (width - SLIVER);
  const rows = boot.steps.map((step, i): Bar => {
    const from = x(step.at);
    const wide = Math.max(SLIVER, ((step.ms ?? 0) / whole) * (width - SLIVER));
    const label = `${NAMES[step.kind] ?? step.kind.replace('.', ': ')}${step.ms === null ? '' : `  ${span(step.ms)}`}`;
    // Right of the bar where there is room, else left of it.
    const room = from + wide + label.length * 6.6 < width;
    return { step, x: from, y: TOP + i * ROW, width: wide, label, textX: room ? from + wide + 6 : Math.max(from - 6, 0), anchor: room ? 'start' : from > label.length * 6.6 ? 'end' : 'start', inside: false };
  });
  for (const row of rows) {
    row.inside = row.anchor === 'start' && row.textX < row.x + row.width;
    if (row.inside) row.textX = row.x + 6;
  }
  return { rows, ticks: ticks(whole, x, boot.from), height: TOP + rows.length * ROW + 4 };
}

/** Four to eight round times. */
function ticks(whole: number, x: (at: number) => number, from: number): Drawn['ticks'] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000];
  const step = steps.find((ms) => whole / ms <= 8) ?? 3_600_000 * Math.ceil(whole / 8 / 3_600_000);
  const found = [];
  for (let ms = 0; ms <= whole; ms += step) found.push({ ms, x: x(from + ms) });
  return found;
}

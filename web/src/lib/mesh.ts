// Where members are in the picture: a disc per site or provider, filled from the middle like a sunflower. Pure, so that a
// member keeps its place while others change state.
import type { Tone } from './states';

export interface Dot {
  key: string;
  name: string;
  tone: Tone;
  state: string;
  why: string;
  link: string | null;
  x: number;
  y: number;
}
export interface Disc {
  name: string;
  words: string;
  tone: Tone;
  x: number;
  y: number;
  r: number;
}
export interface Group {
  name: string;
  words: string;
  tone: Tone;
  dots: Omit<Dot, 'x' | 'y'>[];
}
export interface Picture {
  discs: Disc[];
  dots: Dot[];
  /** Points between two neighbouring dots, scaled. */
  gap: number;
}

const GOLDEN = Math.PI * (3 - Math.sqrt(5));
/** An empty site is still a place. */
const LEAST_DOTS = 6;
const MARGIN = 26;

/** Places all groups in a picture of this size: the first in the middle of its half, the others in rows beside it. */
export function place(groups: Group[], width: number, height: number): Picture {
  const radii = groups.map((group) => Math.sqrt(Math.max(LEAST_DOTS, group.dots.length)));
  const rows = rowsOf(radii, width / height);
  const wide = Math.max(...rows.map((row) => row.reduce((sum, i) => sum + 2 * (radii[i] ?? 0) + 1.5, 0)), 1);
  const tall = rows.reduce((sum, row) => sum + 2 * Math.max(...row.map((i) => radii[i] ?? 0)) + 1.5, 0);
  const scale = Math.min((width - 2 * MARGIN) / wide, (height - 2 * MARGIN) / tall, 22);
  const picture: Picture = { discs: [], dots: [], gap: scale };
  let top = (height - tall * scale) / 2;
  for (const row of rows) {
    const line = 2 * Math.max(...row.map((i) => radii[i] ?? 0)) + 1.5;
    const own = row.reduce((sum, i) => sum + 2 * (radii[i] ?? 0) + 1.5, 0);
    let left = (width - own * scale) / 2;
    for (const i of row) {
      const r = (radii[i] ?? 0) * scale;
      fill(picture, groups[i] as Group, left + r + 0.75 * scale, top + (line * scale) / 2, r, scale);
      left += 2 * r + 1.5 * scale;
    }
    top += line * scale;
  }
  return picture;
}

function fill(picture: Picture, group: Group, x: number, y: number, r: number, scale: number): void {
  picture.discs.push({ name: group.name, words: group.words, tone: group.tone, x, y, r: r + scale * 0.5 });
  group.dots.forEach((dot, i) => {
    const far = Math.sqrt(i + 0.5) * scale * 0.95;
    picture.dots.push({ ...dot, x: x + Math.cos(i * GOLDEN) * far, y: y + Math.sin(i * GOLDEN) * far });
  });
}

/** Groups in rows, so that the whole is about as wide as the picture. */
function rowsOf(radii: number[], ratio: number): number[][] {
  const all = radii.reduce((sum, r) => sum + (2 * r + 1.5) ** 2, 0);
  const limit = Math.max(Math.sqrt(all * ratio) * 1.1, ...radii.map((r) => 2 * r + 1.5));
  const rows: number[][] = [];
  let used = Infinity;
  radii.forEach((r, i) => {
    const size = 2 * r + 1.5;
    if (used + size > limit) {
      rows.push([]);
      used = 0;
    }
    rows.at(-1)?.push(i);
    used += size;
  });
  return rows;
}

/** The dot under a pointer, if one is near. */
export function nearest(picture: Picture, x: number, y: number): Dot | null {
  let [found, least]: [Dot | null, number] = [null, Math.max(10, picture.gap) ** 2];
  for (const dot of picture.dots) {
    const far = (dot.x - x) ** 2 + (dot.y - y) ** 2;
    if (far < least) [found, least] = [dot, far];
  }
  return found;
}

// Strokes of the mesh's picture. A thousand dots are one path per tone: a few milliseconds.
import type { Dot, Picture } from '../../lib/mesh';
import type { Tone } from '../../lib/states';

export interface Ripple {
  dot: Dot;
  at: number;
}
/** How long a change can be seen. */
export const RIPPLE_MS = 1400;
const TONES: Tone[] = ['idle', 'busy', 'good', 'warn', 'bad'];

interface View {
  width: number;
  height: number;
  hover: Dot | null;
  ripples: Ripple[];
  now: number;
}

export function draw(canvas: HTMLCanvasElement, picture: Picture, view: View): void {
  const pen = canvas.getContext('2d');
  if (!pen || view.width === 0) return;
  fit(canvas, view.width, view.height);
  const style = getComputedStyle(canvas);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const ratio = canvas.width / view.width;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  discs(pen, picture, color);
  const radius = Math.max(1.6, Math.min(7, picture.gap * 0.36));
  for (const tone of TONES) {
    pen.beginPath();
    for (const dot of picture.dots) if (dot.tone === tone) circle(pen, dot, tone === 'good' ? radius : radius * 1.15);
    pen.fillStyle = color(tone);
    pen.fill();
  }
  for (const { dot, at } of view.ripples) {
    const part = (view.now - at) / RIPPLE_MS;
    pen.globalAlpha = Math.max(0, 1 - part);
    ring(pen, dot, radius + part * 26, color(dot.tone), 2);
    pen.globalAlpha = 1;
  }
  if (view.hover) ring(pen, view.hover, radius + 4, color('accent'), 2);
}

function fit(canvas: HTMLCanvasElement, width: number, height: number): void {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width === w && canvas.height === h) return;
  [canvas.width, canvas.height] = [w, h];
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

function discs(pen: CanvasRenderingContext2D, picture: Picture, color: (name: string) => string): void {
  pen.textAlign = 'center';
  for (const disc of picture.discs) {
    pen.beginPath();
    circle(pen, disc, disc.r);
    pen.fillStyle = color('sunk');
    pen.fill();
    pen.strokeStyle = disc.tone === 'bad' || disc.tone === 'warn' ? color(disc.tone) : color('line');
    pen.lineWidth = 1;
    pen.stroke();
    pen.fillStyle = color('text');
    pen.font = '600 13px system-ui, sans-serif';
    pen.fillText(disc.name, disc.x, Math.max(14, disc.y - disc.r - 6));
    pen.fillStyle = color('soft');
    pen.font = '12px system-ui, sans-serif';
    pen.fillText(disc.words, disc.x, disc.y + disc.r + 15);
  }
}

function circle(pen: CanvasRenderingContext2D, at: { x: number; y: number }, r: number): void {
  pen.moveTo(at.x + r, at.y);
  pen.arc(at.x, at.y, r, 0, Math.PI * 2);
}

function ring(pen: CanvasRenderingContext2D, at: { x: number; y: number }, r: number, color: string, width: number): void {
  pen.beginPath();
  circle(pen, at, r);
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.stroke();
}

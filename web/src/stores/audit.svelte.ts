// The audit as a screen asks for it: the newest lines first, older ones page by page, new ones as they are written.
// Whatever is written is also an event, so events say when to look; what is read is what follows the last line that was
// looked at, so that an event that is lost costs a moment and never a line.
import { call } from '../api/client';
import { live } from '../api/live.svelte';
import { problemOf, type Problem } from '../api/problem';
import type { AuditLine, AuditOutcome } from '../api/types';

/** What lines have to fit; what is absent fits all. As the API's query has them. */
export interface AuditFilter {
  who?: string;
  what?: string;
  machine?: string;
  outcome?: AuditOutcome;
  since?: string;
  until?: string;
}

/** Lines read at once: some screens of them. */
const PAGE = 100;
/** More than anybody reads on a page. */
const KEEP = 5000;
/** Pages looked through for one that has a line, before the person is asked whether to go on: a page may be 20,000 lines long. */
const LOOKS = 5;
/** Events come in bursts: looks within this time are one. */
const GATHER_MS = 250;
/** Without any event a new line is never missing for longer. */
const REFRESH_MS = 60_000;
/** Before this number is every line. */
const NEWEST = Number.MAX_SAFE_INTEGER;

export class Audit {
  /** The newest first. */
  lines: AuditLine[] = $state.raw([]);
  /** Whether `lines` is something that the controller said. */
  ready = $state(false);
  problem: Problem | null = $state.raw(null);
  /** Where older lines are looked for; null: there are none, or no more are held here. */
  older: string | null = $state(null);
  /** Whether older lines were let go. */
  full = $state(false);
  busy = $state(false);
  /** All lines up to this number were looked at; 0: none were. */
  private seen = 0;
  private turn: Promise<void> = Promise.resolve();
  private gathering: ReturnType<typeof setTimeout> | null = null;
  private ends: (() => void) | null = null;

  constructor(private readonly filter: AuditFilter) {}

  /** Follows until the returned function is called. For `$effect`. */
  hold(): () => void {
    void this.load();
    const ear = live.listen((heard) => {
      if ('resync' in heard && heard.resync === 'reset') void this.load();
      else this.touch();
    });
    const timer = setInterval(() => this.touch(), REFRESH_MS);
    this.ends = () => {
      ear();
      clearInterval(timer);
      if (this.gathering) clearTimeout(this.gathering);
      this.gathering = null;
    };
    return () => this.ends?.();
  }

  /** Reads the newest lines, as if nothing were known. */
  load(): Promise<void> {
    return this.inTurn(async () => {
      const stands = newestHeard();
      const page = await call('get', '/api/v1/audit', { query: { ...this.filter, before: NEWEST, limit: PAGE } });
      [this.lines, this.full, this.older] = [[], false, page.next ?? null];
      this.add(page.items);
      if (this.lines.length === 0) await this.back();
      this.seen = Math.max(stands, this.lines[0]?.seq ?? 0);
      this.ready = true;
    });
  }

  /** Reads older lines. */
  more(): Promise<void> {
    return this.inTurn(() => this.back());
  }

  private touch(): void {
    this.gathering ??= setTimeout(() => {
      this.gathering = null;
      void this.inTurn(() => this.ahead());
    }, GATHER_MS);
  }

  /** What was written since. */
  private async ahead(): Promise<void> {
    if (this.seen === 0) return void this.load();
    for (;;) {
      const stands = newestHeard();
      const page = await call('get', '/api/v1/audit', { query: { ...this.filter, after: this.seen, limit: PAGE } });
      this.add(page.items);
      this.seen = page.next ? Number(page.next) : Math.max(this.seen, stands, this.lines[0]?.seq ?? 0);
      if (!page.next) return;
    }
  }

  private async back(): Promise<void> {
    for (let looked = 0; looked < LOOKS && this.older; looked += 1) {
      const page = await call('get', '/api/v1/audit', { query: { ...this.filter, cursor: this.older, limit: PAGE } });
      this.older = page.next ?? null;
      this.add(page.items);
      if (page.items.length > 0) return;
    }
  }

  /** One read at a time, in the order in which they were asked for. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(async () => {
      this.busy = true;
      try {
        await work();
        this.problem = null;
      } catch (error) {
        this.problem = problemOf(error);
        // Each refusal is a line of the audit, and so an event: who may not look must not look again because of it.
        if (this.problem.code === 'forbidden') this.ends?.();
      }
      this.busy = false;
    });
    return this.turn;
  }

  private add(more: AuditLine[]): void {
    if (more.length === 0) return;
    const known = new Map(this.lines.map((line) => [line.seq, line]));
    for (const line of more) known.set(line.seq, line);
    const lines = [...known.values()].sort((a, b) => b.seq - a.seq);
    if (lines.length > KEEP) [this.full, this.older] = [true, null];
    this.lines = lines.slice(0, KEEP);
  }
}

/** The number of the newest event that came by the stream: what was written up to it is there when the audit is asked now. */
function newestHeard(): number {
  return Number(live.seen ?? 0) || 0;
}

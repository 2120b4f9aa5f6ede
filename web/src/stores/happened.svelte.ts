// What happened lately, newest first, live; and one machine's whole record for its timeline.
import { call } from '../api/client';
import { live } from '../api/live.svelte';
import { problemOf, type Problem } from '../api/problem';
import type { Event } from '../api/types';

/** More than anybody reads; the controller keeps the rest. */
const KEEP = 1000;

export class Happened {
  events: Event[] = $state.raw([]);
  ready = $state(false);
  problem: Problem | null = $state.raw(null);

  /** All events, or those of `machine` (its id). */
  constructor(private readonly machine: string | null = null) {}

  /** Follows until the returned function is called. For `$effect`. */
  hold(): () => void {
    void this.load();
    return live.listen((heard) => {
      if ('resync' in heard) void this.load();
      else if (this.mine(heard)) this.add([heard]);
    });
  }

  private async load(): Promise<void> {
    const meanwhile: Event[] = [];
    const ear = live.listen((heard) => void ('resync' in heard || (this.mine(heard) && meanwhile.push(heard))));
    try {
      const page = await call('get', '/api/v1/events', { query: { limit: KEEP, machine: this.machine ?? undefined } });
      this.events = [];
      this.add([...page.items, ...meanwhile]);
      this.ready = true;
      this.problem = null;
    } catch (error) {
      this.problem = problemOf(error);
    } finally {
      ear();
    }
  }

  private mine(event: Event): boolean {
    return !this.machine || event.machine === this.machine;
  }

  /** The same event may come by the list and by the stream. */
  private add(more: Event[]): void {
    const known = new Map(this.events.map((event) => [event.seq, event]));
    for (const event of more) known.set(event.seq, event);
    this.events = [...known.values()].sort((a, b) => b.seq - a.seq).slice(0, KEEP);
  }
}

export const happened = new Happened();

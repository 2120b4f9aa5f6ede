// Machines. An event names one: only that is read again, unless many are named at once.
import { all, call } from '../api/client';
import { Refusal } from '../api/problem';
import type { Machine } from '../api/types';
import { List } from './list.svelte';

/** More machines than this at once: one list costs the controller less than the single answers. */
const MANY = 12;
const GATHER_MS = 200;

class Machines extends List<Machine> {
  private named = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor() {
    const page = (cursor?: string) => call('get', '/api/v1/machines', { query: { cursor } });
    super(async () => all(async (cursor) => (await page(cursor)) as { items: Machine[]; next?: string | null }), /./);
  }

  protected override heard(machine: string | null): void {
    if (!machine) return;
    this.named.add(machine);
    this.timer ??= setTimeout(() => {
      this.timer = null;
      void this.refresh();
    }, GATHER_MS);
  }

  private async refresh(): Promise<void> {
    const named = [...this.named];
    this.named.clear();
    if (named.length > MANY) return this.load();
    try {
      await Promise.all(named.map((id) => this.refreshOne(id)));
    } catch {
      this.touch();
    }
  }

  async refreshOne(id: string): Promise<void> {
    const found = await machine(id);
    const rest = this.items.filter((m) => m.id !== (found?.id ?? id));
    this.items = found ? [...rest, found].sort((a, b) => (a.name < b.name ? -1 : 1)) : rest;
  }
}

/** A machine by name, id or MAC; null: nobody knows it. */
export async function machine(name: string): Promise<Machine | null> {
  try {
    return await call('get', '/api/v1/machines/{machine}', { path: { machine: name } });
  } catch (error) {
    if (error instanceof Refusal && error.problem.code === 'machine-not-found') return null;
    throw error;
  }
}

export const machines = new Machines();

/** Every word that a person might look for it by. */
export function words(m: Machine): string {
  const labels = Object.entries(m.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const parts = [m.name, m.id, m.standing, m.hardware, m.firmware, m.serial, m.owner, m.member?.state, m.active?.config, ...m.macs, ...labels];
  return parts.filter(Boolean).join(' ').toLowerCase();
}

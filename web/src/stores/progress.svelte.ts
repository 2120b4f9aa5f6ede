// How far running jobs are: the controller's stream of deployments, twice a second at most, kept only while somebody looks.
import { headers, open, url } from '../api/client';
import { SseParser } from '../api/sse';
import type { Deployment } from '../api/types';
import { deployments } from './resources.svelte';

/** How often it is looked whether something is at work, among what is known here: small images are written within seconds. */
const LOOK_MS = 200;
/** Until a stream that broke is asked for again. */
const PAUSE_MS = 1_500;

class ProgressFeed {
  private holders = 0;
  private stopper: AbortController | null = null;

  hold(): () => void {
    this.holders += 1;
    if (this.holders === 1) {
      this.stopper = new AbortController();
      void this.run(this.stopper.signal);
    }
    return () => {
      this.holders -= 1;
      if (this.holders === 0) this.stopper?.abort();
    };
  }

  /** The stream ends when its deployments are over; it is asked for again with those that are open then. */
  private async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const ids = deployments.items.filter((d) => d.open).map((d) => d.id);
      const broke = ids.length > 0 && (await this.follow(ids, stop).then(() => false, () => true));
      await new Promise((resolve) => setTimeout(resolve, broke ? PAUSE_MS : LOOK_MS));
    }
  }

  private async follow(ids: number[], stop: AbortSignal): Promise<void> {
    const changed = new AbortController();
    const signal = AbortSignal.any([stop, changed.signal]);
    const known = new Set(ids);
    const response = await open(url('/api/v1/deployments/stream', { deployments: ids.slice(0, 100).join(',') }), { headers: headers(), signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new SseParser();
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
      for (const message of parser.feed(piece.value)) if (message.data) take(JSON.parse(message.data) as Deployment);
      if (deployments.items.some((d) => d.open && !known.has(d.id))) changed.abort();
    }
  }
}

function take(job: Deployment): void {
  if (typeof job.id !== 'number') return;
  deployments.items = deployments.items.map((d) => (d.id === job.id ? job : d));
}

export const progress = new ProgressFeed();

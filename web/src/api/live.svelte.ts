// The one live connection: events as they happen. It resumes behind the last event it has seen, waits longer after each
// failure, and takes silence for death. Who listens hears events, and `Resync` when lists have to be read again.
import { headers, open, url } from './client';
import { Refusal, problemOf, type Problem } from './problem';
import { SseParser, pauseMs, type Message } from './sse';
import type { Event } from './types';

/** Read everything again: events were lost (`reset`), or may have been. */
export interface Resync {
  resync: 'connected' | 'reset';
}
type Listener = (heard: Event | Resync) => void;

/** The controller says something every 15 s; after two and a half times that it is gone. */
const SILENCE_MS = 38_000;

class Live {
  /** Whether what is on the screen follows the controller. */
  state: 'off' | 'connecting' | 'live' | 'lost' = $state('off');
  problem: Problem | null = $state.raw(null);
  /** The number of the last event seen. */
  seen: string | null = null;
  private listeners = new Set<Listener>();
  private stopper: AbortController | null = null;
  private failures = 0;

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    this.stop();
    this.stopper = new AbortController();
    this.state = 'connecting';
    void this.run(this.stopper.signal);
  }

  stop(): void {
    this.stopper?.abort();
    this.stopper = null;
    this.seen = null;
    this.failures = 0;
    this.state = 'off';
  }

  private async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.connect(stop).catch((error: unknown) => {
        this.problem = problemOf(error);
        this.failures += 1;
      });
      if (stop.aborted) return;
      this.state = 'lost';
      await pause(pauseMs(this.failures, Math.random()), stop);
    }
  }

  private async connect(stop: AbortSignal): Promise<void> {
    const silence = new AbortController();
    const signal = AbortSignal.any([stop, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const extra: Record<string, string> = this.seen ? { 'last-event-id': this.seen } : {};
      const response = await open(url('/api/v1/events/stream'), { headers: headers(extra), signal });
      if (!response.body) throw new Refusal({ type: '', code: 'no-stream', title: 'No stream', detail: 'This browser reads no streams; take a newer one.', status: 0 });
      this.connected();
      const parser = new SseParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const message of parser.feed(value)) this.hear(message);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private connected(): void {
    this.state = 'live';
    this.problem = null;
    this.failures = 0;
    this.tell({ resync: 'connected' });
  }

  private hear(message: Message): void {
    if (message.id) this.seen = message.id;
    if (message.event === 'reset') this.tell({ resync: 'reset' });
    if (message.event === 'event' && message.data) this.tell(JSON.parse(message.data) as Event);
  }

  private tell(heard: Event | Resync): void {
    for (const listener of this.listeners) listener(heard);
  }
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    stop.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

export const live = new Live();

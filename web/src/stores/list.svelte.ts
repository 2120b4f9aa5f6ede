// What is known of one resource: a list that is read while a screen holds it, and again whenever that may have changed.
import { live } from '../api/live.svelte';
import { problemOf, type Problem } from '../api/problem';

/** Events come in bursts (a rack that boots): reads within this time are one. */
const GATHER_MS = 250;
/** Also what no event tells, such as when a machine was seen last, is never older than this. */
const REFRESH_MS = 60_000;

export class List<T> {
  items: T[] = $state.raw([]);
  /** Whether `items` is something that the controller said. */
  ready = $state(false);
  problem: Problem | null = $state.raw(null);
  private holders = 0;
  private gathering: ReturnType<typeof setTimeout> | null = null;
  private reading = false;
  private again = false;
  private ends: (() => void) | null = null;

  /** `kinds`: events after which the list may be another one. */
  constructor(
    private readonly read: () => Promise<T[]>,
    private readonly kinds: RegExp,
  ) {}

  /** Keeps the list right until the returned function is called. For `$effect`. */
  hold(): () => void {
    this.holders += 1;
    if (this.holders === 1) this.follow();
    return () => {
      this.holders -= 1;
      if (this.holders === 0) this.ends?.();
    };
  }

  /** Reads soon. */
  touch(): void {
    this.gathering ??= setTimeout(() => {
      this.gathering = null;
      void this.load();
    }, GATHER_MS);
  }

  /** Reads now; whoever asks while it is read gets it read once more. */
  async load(): Promise<void> {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    try {
      this.items = await this.read();
      this.ready = true;
      this.problem = null;
    } catch (error) {
      this.problem = problemOf(error);
    }
    this.reading = false;
    if (this.again) {
      this.again = false;
      await this.load();
    }
  }

  private follow(): void {
    void this.load();
    const ear = live.listen((heard) => {
      if ('resync' in heard) void this.load();
      else if (this.kinds.test(heard.kind)) this.heard(heard.machine ?? null);
    });
    const timer = setInterval(() => this.touch(), REFRESH_MS);
    this.ends = () => {
      ear();
      clearInterval(timer);
    };
  }

  /** An event of our kinds; `machine`: whom it is about. */
  protected heard(_machine: string | null): void {
    this.touch();
  }
}

// Doing something: one at a time per place, its refusal kept to be shown, its success said once.
import { problemOf, type Problem } from '../api/problem';

interface Said {
  id: number;
  text: string;
}
const SAID_MS = 6_000;

class Notices {
  said: Said[] = $state([]);
  private next = 1;

  say(text: string): void {
    const id = this.next++;
    this.said.push({ id, text });
    setTimeout(() => (this.said = this.said.filter((s) => s.id !== id)), SAID_MS);
  }
}
export const notices = new Notices();

export class Act {
  busy = $state(false);
  problem: Problem | null = $state.raw(null);

  /** Runs `work`; whether it went well. `done` is said to the person then. */
  async run(work: () => Promise<unknown>, done = ''): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = null;
    try {
      await work();
      if (done) notices.say(done);
      return true;
    } catch (error) {
      this.problem = problemOf(error);
      return false;
    } finally {
      this.busy = false;
    }
  }
}

/** A question whose answer is shown: asked again, the latest one counts, whichever is answered first. */
export class Asked<T> {
  value = $state.raw<T | null>(null);
  problem: Problem | null = $state.raw(null);
  private round = 0;

  async ask(question: () => Promise<T>): Promise<void> {
    this.round += 1;
    const mine = this.round;
    try {
      const value = await question();
      if (mine === this.round) [this.value, this.problem] = [value, null];
    } catch (error) {
      if (mine === this.round) [this.value, this.problem] = [null, problemOf(error)];
    }
  }
}

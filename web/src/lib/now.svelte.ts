// The clock of "3m ago": one for the whole page.
const TICK_MS = 5_000;

class Now {
  ms = $state(Date.now());

  constructor() {
    setInterval(() => (this.ms = Date.now()), TICK_MS);
  }
}

export const now = new Now();

// Who we are to the controller: a token, and whether it may more than look.
import { call, connection, hooks } from '../api/client';
import { live } from '../api/live.svelte';
import { Refusal, problemOf, type Problem } from '../api/problem';

class Session {
  state: 'out' | 'asking' | 'in' = $state('out');
  /** Why we are not in. */
  problem: Problem | null = $state.raw(null);
  /** False: the controller said so when we asked for what operators may read. */
  operates = $state(true);

  /** At the page's start: the token of `#token=…`, which then leaves the address; else perhaps none is needed. */
  begin(): void {
    hooks.unknown = () => this.unknown();
    const given = /^#token=([^&]+)/.exec(location.hash)?.[1];
    if (given) history.replaceState(null, '', `${location.pathname}${location.search}#/fleet`);
    if (given) void this.enter(decodeURIComponent(given), '');
  }

  async enter(token: string, base: string): Promise<void> {
    connection.token = token.trim();
    connection.base = base.trim().replace(/\/+$/, '');
    this.state = 'asking';
    this.problem = null;
    try {
      await call('get', '/api/v1/machines', { query: { limit: 1 } });
      this.operates = await mayOperate();
      this.state = 'in';
      live.start();
    } catch (error) {
      this.problem = problemOf(error);
      this.state = 'out';
    }
  }

  leave(): void {
    live.stop();
    connection.token = '';
    this.problem = null;
    this.state = 'out';
  }

  /** The token ended while we worked: it was taken back, or the controller is another one. */
  private unknown(): void {
    if (this.state !== 'in') return;
    this.leave();
    this.problem = { type: '', code: 'unauthenticated', status: 401, title: 'You are signed out', detail: 'The controller does not know this token any more. Sign in with a new one; `enforcer web` prints one.' };
  }
}

/** Webhooks are not for viewers: the cheapest question that tells a viewer from an operator. */
async function mayOperate(): Promise<boolean> {
  try {
    await call('get', '/api/v1/webhooks', { query: { limit: 1 } });
    return true;
  } catch (error) {
    if (error instanceof Refusal && error.problem.status === 403) return false;
    throw error;
  }
}

export const session = new Session();

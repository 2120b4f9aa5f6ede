// Who we are to the controller: a token, and what it may.
import { call, connection, hooks } from '../api/client';
import { live } from '../api/live.svelte';
import { problemOf, type Problem } from '../api/problem';
import type { Who } from '../api/types';

class Session {
  state: 'out' | 'asking' | 'in' = $state('out');
  /** Why we are not in. */
  problem: Problem | null = $state.raw(null);
  /** Who the controller says that we are. */
  who: Who | null = $state.raw(null);

  /** At the page's start: the token of `#token=…`, which then leaves the address. */
  begin(): void {
    hooks.unknown = (problem) => this.unknown(problem);
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
      this.who = await call('get', '/api/v1/whoami');
      this.state = 'in';
      live.start();
    } catch (error) {
      connection.token = '';
      this.problem = problemOf(error);
      this.state = 'out';
    }
  }

  leave(): void {
    live.stop();
    connection.token = '';
    this.who = null;
    this.problem = null;
    this.state = 'out';
  }

  /** The token ended while we worked: its time was over, it was taken back, or the controller is another one. */
  private unknown(problem: Problem): void {
    if (this.state !== 'in') return;
    this.leave();
    this.problem = { ...problem, title: 'You are signed out' };
  }
}

export const session = new Session();

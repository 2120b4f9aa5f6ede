// Who we are to the controller: a token that only this page knows, or a cookie that no script reads; and what we may.
import { call, connection, hooks } from '../api/client';
import { live } from '../api/live.svelte';
import { problemOf, type Problem } from '../api/problem';
import type { SignedIn, SignInWays } from '../api/types';

/** Whether people may sign in with a password here. `enforcer web`, in the clear on this computer, passes no cookie; a controller's port speaks TLS. */
export const people = location.protocol === 'https:';

class Session {
  state: 'out' | 'asking' | 'in' = $state('out');
  /** Why we are not in. */
  problem: Problem | null = $state.raw(null);
  /** Who the controller says that we are. */
  who: SignedIn | null = $state.raw(null);
  /** How people sign in here; a server that only hosts this page knows no way of its own. */
  ways: SignInWays = $state.raw({ password: true });

  get isAdmin(): boolean {
    return this.who?.role === 'admin';
  }

  /** At the page's start: the token of `#token=…`, which then leaves the address; else the session that this browser may have. */
  begin(): void {
    hooks.unknown = (problem) => this.unknown(problem);
    const given = /^#token=([^&]+)/.exec(location.hash)?.[1];
    if (given) history.replaceState(null, '', `${location.pathname}${location.search}#/fleet`);
    if (given) void this.enter(decodeURIComponent(given), '');
    else if (people) void this.resume();
    if (people) void this.learn();
  }

  enter(token: string, base: string): Promise<void> {
    connection.token = token.trim();
    connection.base = base.trim().replace(/\/+$/, '');
    return this.begun(() => call('get', '/api/v1/session'));
  }

  /** Where the identity provider is begun with, to come back to where we are. */
  get elsewhere(): string | null {
    const here = location.pathname + location.search + location.hash;
    // What the controller does not go back to is not worth losing the way for.
    const back = /^\/[\w/.~?&=%#+:@,!*()-]*$/.test(here) ? here : '/';
    return this.ways.oidc ? `${this.ways.oidc.url}?return=${encodeURIComponent(back)}` : null;
  }

  private async learn(): Promise<void> {
    await call('get', '/api/v1/sign-in').then((ways) => (this.ways = ways)).catch(() => undefined);
  }

  /** The answer sets the cookie. */
  signIn(name: string, password: string): Promise<void> {
    [connection.token, connection.base] = ['', ''];
    return this.begun(() => call('post', '/api/v1/session', { body: { name: name.trim(), password } }));
  }

  /** Signs out; a token stays good, as it may be somebody's elsewhere. */
  async leave(): Promise<void> {
    this.problem = null;
    if (this.who?.session) await call('delete', '/api/v1/session').catch((error: unknown) => (this.problem = problemOf(error)));
    this.out();
  }

  /** A browser without a session is nothing to be told of, and nor is a server that only hosts this page. */
  private async resume(): Promise<void> {
    await this.begun(() => call('get', '/api/v1/session'));
    this.problem = null;
  }

  private async begun(ask: () => Promise<SignedIn>): Promise<void> {
    this.state = 'asking';
    this.problem = null;
    try {
      this.who = await ask();
      this.state = 'in';
      live.start();
    } catch (error) {
      connection.token = '';
      this.problem = problemOf(error);
      this.state = 'out';
    }
  }

  private out(): void {
    live.stop();
    connection.token = '';
    this.who = null;
    this.state = 'out';
  }

  /** The token or the session ended while we worked: its time was over, it was taken back, or the controller is another one. */
  private unknown(problem: Problem): void {
    if (this.state !== 'in') return;
    this.out();
    this.problem = { ...problem, title: 'You are signed out' };
  }
}

export const session = new Session();

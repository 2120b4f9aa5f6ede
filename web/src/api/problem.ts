// What went wrong, in one form: the API's problems (RFC 9457) and our own.
import type { components } from './schema';

export type Problem = components['schemas']['Problem'];

/** An answer that is no success. `problem.detail` says what cures it. */
export class Refusal extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

/** Nobody answered: the controller is down, or the way to it. */
export function unreachable(why: string): Problem {
  return own('controller-unreachable', 'The controller does not answer', `${why}. On its host, \`systemctl status enforcer\` says whether it runs; this page goes on by itself when it is back.`);
}

/** A problem that this program found. */
export function own(code: string, title: string, detail: string, status = 0): Problem {
  return { type: `urn:enforcer:problem:${code}`, code, title, detail, status };
}

/** Whatever was thrown, as a problem. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Refusal) return error.problem;
  return own('app-failed', 'This page failed', error instanceof Error ? error.message : String(error));
}

/** The problem in an answer; proxies on the way answer without one. */
export async function problemIn(response: Response): Promise<Problem> {
  const kind = response.headers.get('content-type') ?? '';
  if (kind.includes('json')) {
    const body = (await response.json().catch(() => null)) as Partial<Problem> | null;
    if (body?.code && body.detail) return { title: body.code, type: '', status: response.status, ...body } as Problem;
  }
  return own('no-problem', `HTTP ${response.status}`, `The answer was ${response.status} ${response.statusText} without a reason: is this the controller's address?`, response.status);
}

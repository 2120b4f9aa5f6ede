// One typed fetch for everything. Paths, queries, bodies and answers are those of the API's document: others do not compile.
import { Refusal, problemIn, unreachable, type Problem } from './problem';
import type { paths } from './schema';

type Verb = 'get' | 'post' | 'put' | 'patch' | 'delete';
type PathOf<V extends Verb> = { [P in keyof paths]: paths[P] extends Record<V, object> ? P : never }[keyof paths];
type Operation<V extends Verb, P extends keyof paths> = paths[P] extends Record<V, infer O> ? O : never;
type Need<O> = (O extends { parameters: { path: infer A } } ? { path: A } : { path?: undefined }) &
  (O extends { parameters: { query: infer Q } } ? { query: Q } : O extends { parameters: { query?: infer Q } } ? { query?: Q } : { query?: undefined }) &
  (O extends { requestBody: { content: { 'application/json': infer B } } } ? { body: B } : { body?: undefined }) & {
    /** `Idempotency-Key`: what is asked twice under one key is done once. */
    key?: string;
  };
type Json<R> = R extends { content: { 'application/json': infer B } } ? B : undefined;
export type Answer<O> = O extends { responses: infer R } ? Json<R[keyof R & (200 | 201 | 202 | 204)]> : never;
type Rest<N> = Record<never, never> extends N ? [need?: N] : [need: N];

/** Where the controller is ('' is the server of this page) and the token that it knows us by. Never stored. */
export const connection = { base: '', token: '' };
/** Told when the controller does not know our token (any more), with its words. */
export const hooks: { unknown: (problem: Problem) => void } = { unknown: () => {} };

/** Longer than any answer takes; a busy Raspberry Pi's card may need seconds. */
const ANSWER_MS = 30_000;

export function url(path: string, query?: object): string {
  const asked = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = new URLSearchParams(asked.map(([key, value]) => [key, String(value)])).toString();
  return connection.base + path + (text ? `?${text}` : '');
}

/** A path template with its values, each one segment. */
export function filled(template: string, values?: object): string {
  const given = (values ?? {}) as Record<string, unknown>;
  return template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(given[name] ?? '')));
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  return connection.token ? { ...more, authorization: `Bearer ${connection.token}` } : more;
}

/** Fetches; throws a `Refusal` for whatever is no success. */
export async function open(address: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { ...init, cache: 'no-store', credentials: 'same-origin' });
  } catch (error) {
    if (init.signal?.aborted && init.signal.reason?.name !== 'TimeoutError') throw error;
    throw new Refusal(unreachable(error instanceof Error ? error.message : 'no answer'));
  }
  if (response.ok) return response;
  if (response.status === 502 || response.status === 504) throw await gateway(response);
  const problem = await problemIn(response);
  // A password that was wrong says nothing of who we are.
  if (problem.code === 'unauthenticated') hooks.unknown(problem);
  throw new Refusal(problem);
}

/** A proxy that does not reach the controller; but the controller itself says 502 of other servers, and then says why. */
async function gateway(response: Response): Promise<Refusal> {
  const problem = await problemIn(response);
  return new Refusal(problem.code === 'no-problem' ? unreachable(`A proxy answers ${response.status}`) : problem);
}

export async function call<V extends Verb, P extends PathOf<V>>(verb: V, path: P, ...[need]: Rest<Need<Operation<V, P>>>): Promise<Answer<Operation<V, P>>> {
  const given = (need ?? {}) as { path?: object; query?: object; body?: unknown; key?: string };
  const json = given.body === undefined ? {} : { body: JSON.stringify(given.body) };
  const response = await open(url(filled(path, given.path), given.query), {
    method: verb.toUpperCase(),
    headers: headers({ ...(given.body === undefined ? {} : { 'content-type': 'application/json' }), ...(given.key ? { 'idempotency-key': given.key } : {}) }),
    signal: AbortSignal.timeout(ANSWER_MS),
    ...json,
  });
  if (response.status === 204) return undefined as Answer<Operation<V, P>>;
  return (await response.json()) as Answer<Operation<V, P>>;
}

type Page<T> = { items: T[]; next?: string | null };

/** Every entry of a list, page by page. */
export async function all<T>(page: (cursor: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const found: T[] = [];
  let cursor: string | undefined;
  do {
    const answer = await page(cursor);
    found.push(...answer.items);
    cursor = answer.next ?? undefined;
  } while (cursor);
  return found;
}

// How a certificate stands, and its fingerprint as people compare it.

/** What it proves, by its kind. */
export const PROVES = { 'site-ca': 'The site’s CA', api: 'The API’s port' } as const;

/** So long before its end people should know. */
const SOON_MS = 30 * 24 * 3600_000;

export type Age = 'good' | 'ends soon' | 'ended' | 'not yet good';

/** `renews`: when it is renewed by itself; until then its end is nobody's worry. */
export function age(from: string, until: string | null | undefined, renews: string | null | undefined, now: number): Age {
  if (Date.parse(from) > now) return 'not yet good';
  if (!until) return 'good';
  if (Date.parse(until) <= now) return 'ended';
  if (renews && now < Date.parse(renews)) return 'good';
  return Date.parse(until) - now < SOON_MS ? 'ends soon' : 'good';
}

/** `AB:CD:…`, as browsers' windows and openssl show it. */
export function fingerprint(sha256: string): string {
  return (sha256.toUpperCase().match(/../g) ?? []).join(':');
}

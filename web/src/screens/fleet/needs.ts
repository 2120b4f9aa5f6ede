// What waits for a person, worst first, each with where to decide it.
import type { Certificate, Deployment, Machine } from '../../api/types';
import { age, PROVES } from '../../lib/certificate';
import { moment, span } from '../../lib/format';
import { href } from '../../lib/route';
import type { Tone } from '../../lib/states';
import { isNewcomer } from '../../lib/waits';

export interface Need {
  key: string;
  tone: Tone;
  word: string;
  who: string;
  why: string;
  link: string;
}

/** A failed job is news for a day; after that it is history. */
const FAILED_FOR_MS = 24 * 3600_000;

export function needs(machines: Machine[], deployments: Deployment[], certificates: Certificate[], now = Date.now()): Need[] {
  const found: Need[] = [];
  for (const m of machines) {
    const link = href('machines', m.name);
    if (m.disputed) found.push({ key: `disputed ${m.id}`, tone: 'bad', word: 'disputed', who: m.name, why: m.disputed, link: href('pending') });
    if (m.pending[0]) found.push({ key: `pending ${m.id}`, tone: 'warn', word: 'pending', who: m.name, why: m.pending[0].why, link: href('pending') });
    if (m.member?.state === 'down' || m.member?.state === 'unreachable') {
      found.push({ key: `member ${m.id}`, tone: m.member.state === 'down' ? 'bad' : 'warn', word: m.member.state, who: m.name, why: m.member.why, link });
    }
  }
  found.push(...failed(deployments, now), ...waiting(deployments));
  found.push(...strangers(machines, now), ...ending(certificates, now));
  const order: Tone[] = ['bad', 'warn', 'busy', 'idle', 'good'];
  return found.sort((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone));
}

/** Machines that asked to boot today and that nobody registered. */
function strangers(machines: Machine[], now: number): Need[] {
  const asked = machines.filter((m) => m.standing === 'seen' && m.pending.length === 0 && now - Date.parse(m.last_seen) < FAILED_FOR_MS);
  return asked.map((m) => {
    const stranger: Need = { key: `seen ${m.id}`, tone: 'idle', word: 'seen', who: m.name, why: 'It asked to boot; nobody registered it. Is it yours?', link: href('machines', m.name) };
    return isNewcomer(m) ? { ...stranger, why: 'It was looked at and shows a pairing code. Is it yours?', link: href('pending') } : stranger;
  });
}

/** Certificates that are not good, or not for long. */
function ending(certificates: Certificate[], now: number): Need[] {
  const stood = certificates.map((one) => ({ one, word: age(one.not_before, one.not_after, one.renews, now) }));
  return stood.filter(({ word }) => word !== 'good').map(({ one, word }) => {
    const need = { key: `certificate ${one.sha256}`, word, who: `${PROVES[one.kind]}: certificate`, link: href('settings', null, { part: 'certificates' }) };
    if (word === 'not yet good') return { ...need, tone: 'bad', why: `It is good from ${moment(one.not_before)} on: is the clock of this computer right, and the controller’s?` };
    const until = one.not_after ?? one.not_before;
    const left = Date.parse(until) - now;
    const when = left > 0 ? `It ends in ${span(left)}, on ${moment(until)}` : `It ended on ${moment(until)}`;
    const cure = one.renews ? `it was to be renewed by itself on ${moment(one.renews)}; restart the controller, its log says why it was not` : one.next;
    return { ...need, tone: word === 'ended' ? 'bad' : 'warn', why: `${when}: ${cure}` };
  });
}

/** Jobs whose machine's last word was a failure. */
function failed(deployments: Deployment[], now: number): Need[] {
  const last = new Map<string, Deployment>();
  for (const d of deployments) if (d.id > (last.get(d.machine)?.id ?? -1)) last.set(d.machine, d);
  const bad = [...last.values()].filter((d) => d.state === 'failed' && now - Date.parse(d.since) < FAILED_FOR_MS);
  return bad.map((d) => ({ key: `job ${d.id}`, tone: 'bad', word: 'failed', who: d.machine_name, why: `${d.title}: ${d.reason ?? 'no reason was told'}`, link: href('deployments', String(d.id)) }));
}

/** Jobs that say themselves that they wait for somebody. */
function waiting(deployments: Deployment[]): Need[] {
  const idle = deployments.filter((d) => d.open && /press|accept|pairing|decide|person/i.test(d.next));
  return idle.map((d) => ({ key: `wait ${d.id}`, tone: 'warn', word: 'waiting', who: d.machine_name, why: d.next, link: href('deployments', String(d.id)) }));
}

/** How many of each word; those of `always` also when there is none. */
export function counted<T>(items: T[], word: (item: T) => string, always: string[]): [string, number][] {
  const counts = new Map<string, number>(always.map((w) => [w, 0]));
  for (const item of items) counts.set(word(item), (counts.get(word(item)) ?? 0) + 1);
  return [...counts];
}

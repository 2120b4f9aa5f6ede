// Which machines wait for a person.
import type { Machine } from '../api/types';

/** It was looked at and has a key, and nobody has said yet that it is ours. */
export function isNewcomer(m: Machine): boolean {
  return m.standing !== 'accepted' && Boolean(m.level);
}

/** Whether a person has to decide something about it: a key that waits, a dispute, or a newcomer. */
export function waits(m: Machine): boolean {
  return m.pending.length > 0 || Boolean(m.disputed) || isNewcomer(m);
}

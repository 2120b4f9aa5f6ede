// What a state means to a person: its tone. The word itself always stands beside it.
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle';

const TONES: Record<string, Tone> = {
  alive: 'good', accepted: 'good', online: 'good', done: 'good', confirmed: 'good', joined: 'good', on: 'good', delivered: 'good', live: 'good', good: 'good',
  registered: 'busy', served: 'busy', running: 'busy', armed: 'busy', capturing: 'busy', erasing: 'busy', fetching: 'busy', writing: 'busy', verifying: 'busy',
  editing: 'busy', rebooting: 'busy', written: 'busy', queued: 'idle', 'handed-over': 'good',
  unreachable: 'warn', pending: 'warn', paused: 'warn', expired: 'warn', waiting: 'warn', disputed: 'bad', stopped: 'warn', 'ends soon': 'warn', ended: 'bad', 'not yet good': 'bad',
  down: 'bad', failed: 'bad', revoked: 'bad', dead: 'bad', refused: 'bad', lost: 'bad',
};

export function toneOf(state: string): Tone {
  return TONES[state] ?? 'idle';
}

/** How an event reads at a glance, by its kind. */
export function toneOfEvent(kind: string): Tone {
  if (/failed|refused|down|disputed|revoked|lost|broken|cloned|full/.test(kind)) return 'bad';
  if (/unreachable|pending|expired|cancelled|silent|stopped|without-secret|jumped/.test(kind)) return 'warn';
  if (/online|done|confirmed|alive|accepted|joined|enrolled/.test(kind)) return 'good';
  return 'busy';
}

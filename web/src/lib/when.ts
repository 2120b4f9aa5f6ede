// Times as a person picks them (on this computer's clock) and as addresses and the API have them (UTC).

/** For an `<input type="datetime-local">`; empty for what is no time. */
export function toPicked(at: string): string {
  const ms = Date.parse(at);
  if (Number.isNaN(ms)) return '';
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

/** What such an input holds, in UTC; empty when it holds nothing. */
export function fromPicked(picked: string): string {
  const ms = Date.parse(picked);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString().replace('.000Z', 'Z');
}

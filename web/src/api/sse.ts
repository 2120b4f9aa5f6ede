// Server-sent events as they come over the wire (HTML standard §9.2.6), piece by piece.

export interface Message {
  event: string;
  data: string;
  id: string | null;
}

/** Cuts a stream of text into messages. Comments count as messages without data: they say that the other side is there. */
export class SseParser {
  private rest = '';
  private fields: Message = { event: 'message', data: '', id: null };
  private any = false;

  feed(text: string): Message[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    const messages: Message[] = [];
    for (const line of lines) {
      if (line === '') {
        if (this.any) messages.push(this.fields);
        this.fields = { event: 'message', data: '', id: null };
        this.any = false;
      } else {
        this.line(line);
      }
    }
    return messages;
  }

  private line(line: string): void {
    this.any = true;
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') this.fields.event = value;
    if (name === 'id') this.fields.id = value;
    if (name === 'data') this.fields.data += this.fields.data ? `\n${value}` : value;
  }
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** How long to wait after so many failures in a row; `random` (0 to 1) keeps many pages from coming back at once. */
export function pauseMs(failures: number, random: number): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, failures - 1));
  return longest * (0.5 + random / 2);
}

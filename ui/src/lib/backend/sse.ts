/**
 * A parser for `text/event-stream`, fed with whatever pieces the network delivers: a message, a line
 * or a CRLF pair may be cut anywhere. (Bytes are decoded before; see `browser.ts`.)
 */

import type { Message } from './backend';

export class SseParser {
  /** The unfinished last line. */
  private rest = '';
  /** Whether the last piece ended in CR, so that a leading LF belongs to it. */
  private sawCr = false;
  private started = false;

  private event = '';
  private data: string[] = [];
  /** Persists over messages, as the specification wants. */
  private id: string | null = null;

  /** The messages completed by this piece. */
  push(piece: string): Message[] {
    const out: Message[] = [];
    let text = piece;
    if (text === '') return out;
    if (!this.started) {
      this.started = true;
      if (text.startsWith('\uFEFF')) text = text.slice(1);
    }
    if (this.sawCr && text.startsWith('\n')) text = text.slice(1);
    this.sawCr = piece.endsWith('\r');

    let from = 0;
    for (let i = 0; i < text.length; i += 1) {
      const c = text[i];
      if (c !== '\n' && c !== '\r') continue;
      this.line(this.rest + text.slice(from, i), out);
      this.rest = '';
      if (c === '\r' && text[i + 1] === '\n') i += 1;
      from = i + 1;
    }
    this.rest += text.slice(from);
    return out;
  }

  private line(line: string, out: Message[]): void {
    if (line === '') {
      if (this.data.length > 0) {
        out.push({ event: this.event || 'message', id: this.id, data: this.data.join('\n') });
      }
      this.event = '';
      this.data = [];
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.event = value;
    else if (field === 'data') this.data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.id = value;
  }
}

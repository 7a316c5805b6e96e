/**
 * Colours a program wrote for a terminal, as spans. Text stays text: nothing here becomes markup, and
 * every other control sequence is dropped.
 */

export interface Span {
  text: string;
  /** `c0`–`c15` for the sixteen colours, `''` for the page's own. */
  colour: string;
  bold: boolean;
  dim: boolean;
}

// CSI, OSC (ended by BEL or ST), and the two-byte escapes.

const ESCAPE = /\x1b(?:\[([0-9;:?]*)([ -/]*[@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_a-z])/g;

const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/g;

/** The text without any colour or control. */
export function plain(text: string): string {
  if (!text.includes('\x1b') && !/[\r\0]/.test(text)) return text;
  return text.replace(ESCAPE, '').replace(CONTROL, '');
}

export function spans(text: string): Span[] {
  const out: Span[] = [];
  let colour = '';
  let bold = false;
  let dim = false;
  let from = 0;
  const add = (piece: string): void => {
    const clean = piece.replace(CONTROL, '');
    if (clean !== '') out.push({ text: clean, colour, bold, dim });
  };
  for (const match of text.matchAll(ESCAPE)) {
    add(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] !== 'm') continue;
    const codes = (match[1] ?? '').split(/[;:]/).map((c) => (c === '' ? 0 : Number(c)));
    for (let i = 0; i < codes.length; i += 1) {
      const code = codes[i] ?? 0;
      if (code === 0) {
        colour = '';
        bold = false;
        dim = false;
      } else if (code === 1) bold = true;
      else if (code === 2) dim = true;
      else if (code === 22) {
        bold = false;
        dim = false;
      } else if (code >= 30 && code <= 37) colour = `c${code - 30}`;
      else if (code >= 90 && code <= 97) colour = `c${code - 82}`;
      else if (code === 39) colour = '';
      else if (code === 38 || code === 48) {
        const kind = codes[i + 1];
        const index = codes[i + 2];
        if (code === 38 && kind === 5 && index !== undefined) colour = index < 16 ? `c${index}` : '';
        i += kind === 5 ? 2 : kind === 2 ? 4 : 0;
      }
    }
  }
  add(text.slice(from));
  return out;
}

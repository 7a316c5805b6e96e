/** Finding a command by a few of its letters. */

import type { InstanceState } from '../types';

export interface Command {
  id: string;
  title: string;
  /** Further words it is found by. */
  words: string;
  group: string;
  /** The state of the service it is about. */
  state?: InstanceState;
  keys?: string;
  run: () => void;
}

/**
 * How well `query` fits: each of its words must begin a word of the title, or stand inside one, or be a
 * subsequence of the title. `null`: not at all. Higher is better.
 */
export function score(query: string, title: string, words = ''): number | null {
  const terms = query.toLowerCase().split(/\s+/).filter(Boolean);
  const name = title.toLowerCase();
  const all = `${name} ${words.toLowerCase()}`;
  let total = 0;
  for (const term of terms) {
    const at = all.search(new RegExp(`(?:^|[^\\p{L}\\p{N}])${escape(term)}`, 'u'));
    if (name.startsWith(term)) total += 40;
    else if (at >= 0 && at < name.length) total += 30;
    else if (at >= 0) total += 20;
    else if (all.includes(term)) total += 10;
    else if (isSubsequence(term, name)) total += 2;
    else return null;
  }
  return total - Math.min(name.length, 60) / 100;
}

/** The commands that fit, best first; equals keep their order. */
export function filterCommands(commands: Command[], query: string): Command[] {
  if (query.trim() === '') return commands;
  return commands
    .map((command, index) => ({ command, index, score: score(query, command.title, command.words) }))
    .filter((c): c is typeof c & { score: number } => c.score !== null)
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .map((c) => c.command);
}

function isSubsequence(needle: string, hay: string): boolean {
  let i = 0;
  for (const c of hay) if (c === needle[i]) i += 1;
  return i === needle.length;
}

function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

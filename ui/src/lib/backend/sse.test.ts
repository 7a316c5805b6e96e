import { describe, expect, it } from 'vitest';

import { SseParser } from './sse';

const STREAM =
  ': hello\n' +
  'event: service\nid: 7\ndata: {"a":1}\n\n' +
  'data: first\r\ndata:second\r\n\r\n' +
  'event: empty\n\n' +
  'id: 9\rdata\r\r' +
  'retry: 10\ndata: ü€😀\n\n';

const EXPECTED = [
  { event: 'service', id: '7', data: '{"a":1}' },
  { event: 'message', id: '7', data: 'first\nsecond' },
  { event: 'message', id: '9', data: '' },
  { event: 'message', id: '9', data: 'ü€😀' },
];

describe('SseParser', () => {
  it('reads a stream delivered at once', () => {
    expect(new SseParser().push(STREAM)).toEqual(EXPECTED);
  });

  it('reads the same from pieces cut at every place', () => {
    for (let size = 1; size <= 24; size += 1) {
      const parser = new SseParser();
      const got = [];
      for (let i = 0; i < STREAM.length; i += size) got.push(...parser.push(STREAM.slice(i, i + size)));
      expect(got, `pieces of ${size}`).toEqual(EXPECTED);
    }
  });

  it('takes a CRLF cut in two as one line end', () => {
    const parser = new SseParser();
    expect(parser.push('data: a\r')).toEqual([]);
    expect(parser.push('\ndata: b\r')).toEqual([]);
    expect(parser.push('\n\r')).toEqual([{ event: 'message', id: null, data: 'a\nb' }]);
    expect(parser.push('\n')).toEqual([]);
  });

  it('ignores a byte order mark, an id with NUL and an unfinished message', () => {
    const parser = new SseParser();
    expect(parser.push('\uFEFFdata: x\nid: a\0b\n\ndata: never ended\n')).toEqual([
      { event: 'message', id: null, data: 'x' },
    ]);
  });
});

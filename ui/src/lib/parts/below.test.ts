import { describe, expect, it } from 'vitest';

import { watchBelow } from './below';

describe('what is out of sight below', () => {
  it('is told at once, as it scrolls, and no longer once nobody asks', () => {
    const node = document.createElement('div');
    Object.defineProperties(node, { scrollHeight: { value: 900 }, clientHeight: { value: 300 } });
    const told: number[] = [];
    const stop = watchBelow(node, (px) => told.push(px));
    node.scrollTop = 450;
    node.dispatchEvent(new Event('scroll'));
    // Beyond the end, where the page bounces.
    node.scrollTop = 640;
    node.dispatchEvent(new Event('scroll'));
    expect(told).toEqual([600, 150, 0]);
    stop();
    node.dispatchEvent(new Event('scroll'));
    expect(told).toHaveLength(3);
  });
});

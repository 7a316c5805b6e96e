import type uPlot from 'uplot';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { drawGaps } from './marks';

afterEach(() => void vi.unstubAllGlobals());

/** A plot of 100 seconds over 1,000 pixels that begin at 50; what is clipped to, of each band. */
function bands(gaps: { from: number; to: number }[], ratio = 1): [number, number][] {
  vi.stubGlobal('devicePixelRatio', ratio);
  const out: [number, number][] = [];
  let rect: [number, number] = [0, 0];
  const ctx = {
    save: vi.fn(),
    restore: vi.fn(),
    beginPath: vi.fn(),
    moveTo: vi.fn(),
    lineTo: vi.fn(),
    stroke: vi.fn(),
    rect: (x: number, _: number, width: number) => (rect = [x, x + width]),
    clip: () => out.push(rect),
  };
  const u = {
    ctx,
    bbox: { left: 50, top: 8, width: 1_000, height: 200 },
    valToPos: (seconds: number) => 50 + seconds * 10,
  };
  drawGaps(u as unknown as uPlot, gaps, '#888');
  expect(ctx.stroke).toHaveBeenCalledTimes(out.length);
  return out;
}

describe('a band of what is not recorded', () => {
  it('is as wide as it lasted', () => {
    expect(bands([{ from: 10_000, to: 20_000 }])).toEqual([[150, 250]]);
  });
  it('is wide enough to be seen, also at the end of the chart', () => {
    expect(bands([{ from: 10_000, to: 10_002 }])).toEqual([[150, 155]]);
    expect(bands([{ from: 10_000, to: 10_002 }], 2)).toEqual([[150, 160]]);
    expect(bands([{ from: 99_900, to: 99_990 }])).toEqual([[1_045, 1_050]]);
  });
  it('is of the chart alone', () => {
    expect(bands([{ from: -30_000, to: 5_000 }])).toEqual([[50, 100]]);
    expect(
      bands([
        { from: -30_000, to: -5_000 },
        { from: 120_000, to: 130_000 },
      ]),
    ).toEqual([]);
  });
});

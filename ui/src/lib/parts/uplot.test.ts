import { describe, expect, it } from 'vitest';

import { axisFont, mendLanguage } from './uplot';

describe('a language the web view names', () => {
  it('is replaced when there is no such language', () => {
    const view = { language: 'c' };
    mendLanguage(view);
    expect(view.language).toBe('en-US');
  });

  it('is left alone otherwise', () => {
    const view = { language: 'de-AT' };
    mendLanguage(view);
    expect(view.language).toBe('de-AT');
  });
});

describe('the font of an axis', () => {
  it('is one that uPlot enlarges as a whole where the screen is finer', () => {
    // As uPlot does it.
    const twice = axisFont('Inter').replace(/(\d+)px/, (_, size: string) => `${2 * Number(size)}px`);
    expect(Number.parseFloat(twice)).toBe(2 * Number.parseFloat(axisFont('Inter')));
  });
});

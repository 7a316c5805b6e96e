import { describe, expect, it } from 'vitest';

import { mendLanguage } from './uplot';

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

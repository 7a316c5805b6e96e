/*
  uPlot, fetched with the first chart. It asks for the person's number format while it loads, and a web
  view that was started without a locale (LANG=C) names a language that does not exist: the module
  would be half loaded for good. So such a name is mended first.
*/

import type uPlot from 'uplot';

export function mendLanguage(of: { readonly language: string } = navigator): void {
  try {
    new Intl.NumberFormat(of.language);
  } catch {
    Object.defineProperty(of, 'language', { value: 'en-US', configurable: true });
  }
}

export async function loadPlot(): Promise<typeof uPlot> {
  mendLanguage();
  const [module] = await Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]);
  return module.default;
}

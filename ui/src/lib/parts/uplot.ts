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

async function loadPlot(): Promise<typeof uPlot> {
  mendLanguage();
  const [module] = await Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')]);
  return module.default;
}

/** The colours are drawn, not styled: they are read anew when the person's choice changes. */
const LOOKS = ['(prefers-color-scheme: dark)', '(prefers-contrast: more)', '(forced-colors: active)'];

/** In whole pixels: of `10.5px` uPlot would enlarge only the 5, and a fine screen shows half the size. */
export function axisFont(family: string): string {
  return `11px ${family}`;
}

export interface Place {
  height: number;
  build: (Plot: typeof uPlot) => uPlot;
  /** The plot that is there now. */
  built: (plot: uPlot | null) => void;
  /** Whether anybody can see it: what is scrolled away need not be drawn. */
  seen: (inSight: boolean) => void;
}

/** Keeps a plot in its holder, as wide as that is, until the answer is called. */
export function keepPlot(holder: HTMLElement, { height, build, built, seen }: Place): () => void {
  let gone = false;
  let plot: uPlot | null = null;
  let Plot: typeof uPlot | null = null;
  const rebuild = (): void => {
    if (gone || Plot === null) return;
    plot?.destroy();
    plot = build(Plot);
    built(plot);
  };
  void loadPlot().then((loaded) => {
    Plot = loaded;
    rebuild();
  });
  const sized = new ResizeObserver(() => {
    if (holder.clientWidth > 0) plot?.setSize({ width: holder.clientWidth, height });
  });
  sized.observe(holder);
  const sight = new IntersectionObserver((entries) => {
    seen(entries[entries.length - 1]?.isIntersecting ?? true);
  });
  sight.observe(holder);
  const looks = LOOKS.map((query) => matchMedia(query));
  for (const look of looks) look.addEventListener('change', rebuild);
  return () => {
    gone = true;
    sized.disconnect();
    sight.disconnect();
    for (const look of looks) look.removeEventListener('change', rebuild);
    plot?.destroy();
    built(null);
  };
}

/** Which of the layers above the screen is open; one at a time. */
export type Layer = 'palette' | 'keys' | 'detect' | 'engine';

export class Overlay {
  open = $state<Layer | null>(null);

  toggle(layer: Layer): void {
    this.open = this.open === layer ? null : layer;
  }

  close(): void {
    this.open = null;
  }
}

/** Whether this is a Mac, for ⌘ or Ctrl in what is shown. */
export const onMac = /mac|iphone|ipad/i.test(navigator.platform || navigator.userAgent);

/** `⌘K` or `Ctrl K`. */
export function chord(key: string): string {
  return onMac ? `⌘${key}` : `Ctrl ${key}`;
}

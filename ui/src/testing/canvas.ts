/*
  happy-dom has no canvas. Charts draw into one that takes everything and shows nothing; what they are
  given to draw is tested where it is made.
*/

const nothing: object = new Proxy(
  {},
  {
    get: (_, name) => (name === 'measureText' ? () => ({ width: 0 }) : () => undefined),
    set: () => true,
  },
);

HTMLCanvasElement.prototype.getContext = (() =>
  nothing) as unknown as typeof HTMLCanvasElement.prototype.getContext;
(globalThis as { Path2D?: unknown }).Path2D ??= class {
  moveTo(): void {}
  lineTo(): void {}
  rect(): void {}
  arc(): void {}
  closePath(): void {}
  addPath(): void {}
};

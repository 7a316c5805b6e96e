/** Tells how many pixels of what scrolls are out of sight below: at once, and whenever that changes. */
export function watchBelow(node: HTMLElement, tell: (px: number) => void): () => void {
  const look = (): void => tell(Math.max(0, node.scrollHeight - node.scrollTop - node.clientHeight));
  const sizes = new ResizeObserver(look);
  sizes.observe(node);
  for (const child of node.children) sizes.observe(child);
  node.addEventListener('scroll', look, { passive: true });
  look();
  return () => {
    sizes.disconnect();
    node.removeEventListener('scroll', look);
  };
}

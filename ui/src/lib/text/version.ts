/** Whether version `a` comes before `b`, by their numbers; what is no version is not older. */
export function isOlder(a: string, b: string): boolean {
  const x = numbers(a);
  const y = numbers(b);
  if (x === null || y === null) return false;
  for (let i = 0; i < 3; i += 1) {
    const d = (x.core[i] ?? 0) - (y.core[i] ?? 0);
    if (d !== 0) return d < 0;
  }
  // 1.0.0-rc.1 comes before 1.0.0; two pre-releases of one version are taken as alike.
  return x.pre && !y.pre;
}

function numbers(version: string): { core: number[]; pre: boolean } | null {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?(-[0-9A-Za-z.-]+)?(?:\+.*)?$/.exec(version.trim());
  if (match === null) return null;
  return { core: [match[1], match[2], match[3] ?? '0'].map(Number), pre: match[4] !== undefined };
}

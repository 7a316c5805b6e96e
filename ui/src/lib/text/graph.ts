/**
 * The picture of what depends on what around one service: layers from left (what it needs) to right
 * (what needs it), in the configuration's order within a layer, so that it always looks the same.
 */

import type { Service } from '../types';

export interface GraphNode {
  name: string;
  x: number;
  y: number;
  focus: boolean;
}

export interface GraphEdge {
  from: string;
  to: string;
  path: string;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
  width: number;
  height: number;
  nodeWidth: number;
}

export const NODE_HEIGHT = 28;
const NODE_WIDTH = { most: 132, least: 92 };
const GAP_X = { most: 44, least: 24 };
const GAP_Y = 12;

/**
 * `focus` with everything it needs and everything that needs it, directly or through others. As wide as
 * `available` where it can be; what still does not fit is for scrolling.
 */
export function dependencyGraph(focus: string, services: Service[], available = Infinity): Graph {
  const byName = new Map(services.map((s) => [s.name, s]));
  const needs = (name: string): string[] => (byName.get(name)?.depends_on ?? []).filter((d) => byName.has(d));
  const neededBy = (name: string): string[] =>
    services.filter((s) => s.depends_on.includes(name)).map((s) => s.name);

  const chosen = new Set([...reach(focus, needs), ...reach(focus, neededBy)]);
  const layers = new Map<string, number>();
  // The longest way to a service is its layer. A circle cannot come from a valid configuration; should
  // one come, `path` ends it.
  const layer = (name: string, path: Set<string>): number => {
    const known = layers.get(name);
    if (known !== undefined) return known;
    if (path.has(name)) return 0;
    const further = new Set(path).add(name);
    const own =
      Math.max(
        -1,
        ...needs(name)
          .filter((d) => chosen.has(d))
          .map((d) => layer(d, further)),
      ) + 1;
    layers.set(name, own);
    return own;
  };
  const columns: string[][] = [];
  for (const { name } of services) {
    if (!chosen.has(name)) continue;
    const l = layer(name, new Set());
    while (columns.length <= l) columns.push([]);
    columns[l]?.push(name);
  }

  const count = Math.max(1, columns.length);
  const wide = count * NODE_WIDTH.most + (count - 1) * GAP_X.most <= available;
  const gap = wide ? GAP_X.most : GAP_X.least;
  const nodeWidth = Math.floor(
    Math.min(NODE_WIDTH.most, Math.max(NODE_WIDTH.least, (available - (count - 1) * gap) / count)),
  );

  const tallest = Math.max(1, ...columns.map((c) => c.length));
  const height = tallest * NODE_HEIGHT + (tallest - 1) * GAP_Y;
  const places = new Map<string, GraphNode>();
  columns.forEach((names, l) => {
    const own = names.length * NODE_HEIGHT + (names.length - 1) * GAP_Y;
    names.forEach((name, i) => {
      places.set(name, {
        name,
        x: l * (nodeWidth + gap),
        y: (height - own) / 2 + i * (NODE_HEIGHT + GAP_Y),
        focus: name === focus,
      });
    });
  });

  const edges: GraphEdge[] = [];
  for (const node of places.values()) {
    for (const need of needs(node.name)) {
      const from = places.get(need);
      if (from === undefined) continue;
      const x1 = from.x + nodeWidth;
      const y1 = from.y + NODE_HEIGHT / 2;
      const y2 = node.y + NODE_HEIGHT / 2;
      const bend = Math.max(gap / 2, (node.x - x1) / 2);
      edges.push({
        from: need,
        to: node.name,
        path: `M${x1} ${y1}C${x1 + bend} ${y1} ${node.x - bend} ${y2} ${node.x} ${y2}`,
      });
    }
  }
  const width = count * (nodeWidth + gap) - gap;
  return { nodes: [...places.values()], edges, width, height, nodeWidth };
}

function reach(from: string, next: (name: string) => string[]): Set<string> {
  const seen = new Set([from]);
  const queue = [from];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    for (const n of next(name)) {
      if (seen.has(n)) continue;
      seen.add(n);
      queue.push(n);
    }
  }
  return seen;
}

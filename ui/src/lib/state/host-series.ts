/** The machine's series for the charts: what the engine reduced, continued by the live samples. */

import { time } from '../text/format';
import type { HostSample, Series, Service } from '../types';
import { totals } from '../text/words';

const SAMPLES: Record<string, (sample: HostSample) => number | null> = {
  cpu_percent: (s) => s.cpu.percent,
  memory_used_bytes: (s) => s.memory.used_bytes,
  swap_used_bytes: (s) => s.memory.swap_used_bytes,
  rx_bytes_per_s: (s) => s.network.rx_bytes_per_s,
  tx_bytes_per_s: (s) => s.network.tx_bytes_per_s,
  gpu_percent: (s) => s.gpu?.percent ?? null,
  cockpit_cpu_percent: (s) => s.cockpit.cpu_percent,
  cockpit_memory_bytes: (s) => s.cockpit.memory_bytes,
};

/**
 * A new series with the sample at its end. Samples closer than one step replace the last point, so that
 * the resolution stays what the engine chose; what is older than the window falls out.
 */
export function extend(series: Series, sample: HostSample, services: Service[], windowMs: number): Series {
  const at = time(sample.at);
  const last = series.at_ms[series.at_ms.length - 1];
  if (at === null || (last !== undefined && at <= last)) return series;
  const before = series.at_ms[series.at_ms.length - 2];
  const replace = last !== undefined && before !== undefined && at - before < series.step_ms * 1.5;

  let drop = 0;
  while (drop < series.at_ms.length && (series.at_ms[drop] ?? 0) < at - windowMs) drop += 1;

  const point: Record<string, number | null> = {};
  for (const [name, read] of Object.entries(SAMPLES)) point[name] = read(sample);
  for (const service of services) {
    const { cpu, memory } = totals(service);
    point[`service.${service.name}.cpu_percent`] = cpu;
    point[`service.${service.name}.memory_bytes`] = memory;
  }

  const end = replace ? series.at_ms.length - 1 : series.at_ms.length;
  const length = end - drop;
  const values: Record<string, (number | null)[]> = {};
  for (const name of new Set([...Object.keys(series.values), ...Object.keys(point)])) {
    const old = series.values[name]?.slice(drop, end) ?? [];
    while (old.length < length) old.unshift(null);
    old.push(point[name] ?? null);
    values[name] = old;
  }
  return { step_ms: series.step_ms, at_ms: [...series.at_ms.slice(drop, end), at], values };
}

export const EMPTY_SERIES: Series = { step_ms: 1_000, at_ms: [], values: {} };

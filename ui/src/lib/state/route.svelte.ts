/** Where the person is: the fragment of the address, so that Back, reload and links work. */

import { formatView, parseView, startView, type View } from '../traffic/view';

export type Tab = 'summary' | 'log' | 'history' | 'models' | 'containers';

export type Place =
  | { screen: 'overview' }
  | { screen: 'services'; service: string | null; tab: Tab }
  | { screen: 'traffic'; view: View };

const TABS: readonly string[] = ['summary', 'log', 'history', 'models', 'containers'];

export function parsePlace(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  if (path === 'traffic') return { screen: 'traffic', view: parseView(query) };
  const [screen, name, tab] = path.split('/');
  if (screen !== 'services') return { screen: 'overview' };
  let service: string | null = null;
  try {
    service = name ? decodeURIComponent(name) : null;
  } catch {
    // Not an address of ours; the screen without a selection is the nearest.
  }
  return { screen: 'services', service, tab: TABS.includes(tab ?? '') ? (tab as Tab) : 'summary' };
}

export function href(place: Place): string {
  if (place.screen === 'overview') return '#/overview';
  if (place.screen === 'traffic') {
    const query = formatView(place.view);
    return query === '' ? '#/traffic' : `#/traffic?${query}`;
  }
  if (place.service === null) return '#/services';
  const base = `#/services/${encodeURIComponent(place.service)}`;
  return place.tab === 'summary' ? base : `${base}/${place.tab}`;
}

export function serviceHref(service: string, tab: Tab = 'summary'): string {
  return href({ screen: 'services', service, tab });
}

class Route {
  place = $state.raw<Place>(parsePlace(location.hash));

  start(): () => void {
    const moved = (): void => {
      this.place = parsePlace(location.hash);
    };
    addEventListener('hashchange', moved);
    moved();
    return () => removeEventListener('hashchange', moved);
  }

  go(place: Place, replace = false): void {
    const to = href(place);
    if (replace) history.replaceState(null, '', to);
    else if (location.hash !== to) history.pushState(null, '', to);
    this.place = place;
  }
}

export const route = new Route();

/** The traffic as it was looked at last, or only some of its calls. */
export function traffic(filter: View['filter'] = {}): Place {
  return { screen: 'traffic', view: { ...startView(), filter } };
}

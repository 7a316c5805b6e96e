/** The keys that work everywhere. */

import type { App } from '../state/app';
import { chord, onMac } from '../state/overlay.svelte';
import { route, traffic } from '../state/route.svelte';
import { primaryAction } from '../state/actions.svelte';

export interface KeyHint {
  keys: string[];
  what: string;
}

export function keyHints(inWindow: boolean): KeyHint[] {
  return [
    { keys: [inWindow ? chord('1') : '1'], what: 'Overview' },
    { keys: [inWindow ? chord('2') : '2'], what: 'Services' },
    { keys: [inWindow ? chord('3') : '3'], what: 'AI traffic' },
    { keys: [chord('K')], what: 'Do anything: find a service or an action' },
    { keys: [inWindow ? chord('R') : 'R'], what: 'Restart the selected service' },
    { keys: ['↑', '↓'], what: 'Select in a table of services or calls' },
    { keys: ['←', '→'], what: 'Move along a chart; Enter shows its calls' },
    { keys: ['/'], what: 'Search the log, or the calls' },
    { keys: ['L'], what: 'Log of the selected service' },
    { keys: ['?'], what: 'These keys' },
    { keys: ['Esc'], what: 'Close what is open' },
    ...(inWindow ? [{ keys: [chord('Q')], what: 'Quit; the services go on' }] : []),
  ];
}

export function handleKey(event: KeyboardEvent, app: App): void {
  const { overlay, actions, cockpit } = app;
  if (event.defaultPrevented || cockpit.signedOut) return;
  const command = onMac ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
  const bare = !event.metaKey && !event.ctrlKey && !event.altKey;
  const key = event.key.toLowerCase();

  if (command && key === 'k' && !event.altKey && !event.shiftKey) {
    event.preventDefault();
    if (actions.question === null) overlay.toggle('palette');
    return;
  }
  if (key === 'escape' && overlay.open !== null) {
    event.preventDefault();
    overlay.close();
    return;
  }
  if (overlay.open !== null || actions.question !== null) return;
  // In a browser the command keys are the browser's: there the bare keys do it.
  const mine = app.cockpit.backend.kind === 'window' && command && !event.shiftKey && !event.altKey;
  if (!mine && (!bare || typing(event.target))) return;

  switch (key) {
    case '1':
      route.go({ screen: 'overview' });
      break;
    case '2':
      route.go({ screen: 'services', service: null, tab: 'summary' });
      break;
    case '3':
      route.go(traffic());
      break;
    case '/': {
      // The log has a key of its own.
      const field = document.querySelector<HTMLElement>('.calls input[type=search]');
      if (route.place.screen !== 'traffic' || field === null) return;
      field.focus();
      break;
    }
    case 'r': {
      const service = selected(app);
      const action = service === undefined ? null : primaryAction(service);
      if (service !== undefined && action !== null && action !== 'take_over')
        actions.request(service, action);
      break;
    }
    case 'l': {
      if (mine) return;
      const service = selected(app);
      if (service !== undefined) route.go({ screen: 'services', service: service.name, tab: 'log' });
      break;
    }
    case 'q': {
      const { shell } = cockpit.backend;
      if (!mine || shell === null) return;
      void actions.try('Quit', () => shell.quit());
      break;
    }
    case '?':
      overlay.toggle('keys');
      break;
    default:
      return;
  }
  event.preventDefault();
}

/** The service the person is at: the one on the services screen, or whose card has the focus. */
function selected({ cockpit }: App) {
  const place = route.place;
  const focused = document.activeElement?.closest<HTMLElement>('[data-service]')?.dataset['service'];
  const name =
    focused ?? (place.screen === 'services' ? (place.service ?? cockpit.services[0]?.name) : undefined);
  return name === undefined ? undefined : cockpit.service(name);
}

function typing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLElement && target.isContentEditable)
  );
}

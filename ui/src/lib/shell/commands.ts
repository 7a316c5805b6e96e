/** Every action there is, for the palette. */

import type { App } from '../state/app';
import { chord } from '../state/overlay.svelte';
import { route, traffic as trafficPlace } from '../state/route.svelte';
import type { Command } from '../text/palette';
import { actionVerb, kindName, stateWords } from '../text/words';
import { resetQuestion } from '../traffic/targets';
import type { Action } from '../types';

export function commands(app: App): Command[] {
  const { cockpit, actions, overlay, traffic } = app;
  const inWindow = cockpit.backend.kind === 'window';
  const out: Command[] = [
    {
      id: 'overview',
      title: 'Overview',
      words: 'go to home',
      group: 'Go to',
      keys: inWindow ? chord('1') : '1',
      run: () => route.go({ screen: 'overview' }),
    },
    {
      id: 'services',
      title: 'Services',
      words: 'go to table',
      group: 'Go to',
      keys: inWindow ? chord('2') : '2',
      run: () => route.go({ screen: 'services', service: null, tab: 'summary' }),
    },
    {
      id: 'traffic',
      title: 'AI traffic',
      words: 'go to cost tokens latency requests calls models usage gateway',
      group: 'Go to',
      keys: inWindow ? chord('3') : '3',
      run: () => route.go(trafficPlace()),
    },
    {
      id: 'failed-calls',
      title: 'Failed calls',
      words: 'go to errors requests models ai traffic',
      group: 'Go to',
      run: () => route.go(trafficPlace({ outcome: 'error' })),
    },
  ];
  for (const { name, kind, state } of cockpit.services) {
    out.push({
      id: `go:${name}`,
      title: name,
      words: `go to service ${kindName(kind)} ${stateWords(state).label}`,
      group: 'Go to',
      state,
      run: () => route.go({ screen: 'services', service: name, tab: 'summary' }),
    });
  }
  for (const action of ['restart', 'start', 'stop', 'take_over'] satisfies Action[]) {
    for (const service of cockpit.services) {
      if (!service.actions.includes(action)) continue;
      out.push({
        id: `${action}:${service.name}`,
        title: `${actionVerb(action)} ${service.name}`,
        words: kindName(service.kind),
        group: 'Services',
        state: service.state,
        run: () => actions.request(service, action),
      });
    }
  }
  for (const { name, kind, state } of cockpit.services) {
    out.push({
      id: `log:${name}`,
      title: `Log of ${name}`,
      words: `open logs output ${kindName(kind)}`,
      group: 'Logs',
      state,
      run: () => route.go({ screen: 'services', service: name, tab: 'log' }),
    });
  }
  for (const breaker of traffic.breakers) {
    if (breaker.state === 'closed') continue;
    const target = `${breaker.provider}/${breaker.model}`;
    out.push({
      id: `reset:${target}`,
      title: `Ask ${target} again…`,
      words: 'reset circuit breaker target',
      group: 'AI traffic',
      run: () => {
        actions.question = resetQuestion(breaker, Date.now(), () => {
          void actions.try(`Reset ${target}`, () => traffic.reset(breaker));
        });
      },
    });
  }
  out.push(
    {
      id: 'detect',
      title: 'What runs on this machine…',
      words: 'detect find init plan configuration',
      group: 'Cockpit',
      run: () => (overlay.open = 'detect'),
    },
    {
      id: 'keys',
      title: 'Keyboard shortcuts',
      words: 'help keys',
      group: 'Cockpit',
      keys: '?',
      run: () => (overlay.open = 'keys'),
    },
    {
      id: 'engine',
      title: 'About the engine',
      words: 'version login data folder configuration',
      group: 'Cockpit',
      run: () => (overlay.open = 'engine'),
    },
    {
      id: 'stop-all',
      title: 'Stop everything…',
      words: 'all services quit',
      group: 'Cockpit',
      run: () => actions.stopAll(),
    },
    {
      id: 'stop-engine',
      title: 'Stop the engine…',
      words: 'quit shutdown',
      group: 'Cockpit',
      run: () => actions.stopEngine(),
    },
  );
  const { shell } = cockpit.backend;
  if (shell !== null) {
    out.push({
      id: 'quit',
      title: 'Quit, services go on',
      words: 'exit close studio cockpit',
      group: 'Cockpit',
      keys: chord('Q'),
      run: () => void actions.try('Quit', () => shell.quit()),
    });
  }
  return out;
}

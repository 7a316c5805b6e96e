import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { FakeBackend, settle } from '../../testing/fake-backend';
import { at, NOW, service } from '../../testing/fixtures';
import { Unreachable, type Answer } from '../backend';
import { Actions, buttonFace } from './actions.svelte';
import { Cockpit } from './cockpit.svelte';

beforeEach(() => void vi.useFakeTimers({ now: NOW }));
afterEach(() => void vi.useRealTimers());

function setup() {
  const backend = new FakeBackend();
  const cockpit = new Cockpit(backend);
  cockpit.services = [
    service({ name: 'db' }),
    service({ name: 'api', depends_on: ['db'] }),
    service({ name: 'old', depends_on: ['db'], state: 'stopped' }),
  ];
  return { backend, cockpit, actions: new Actions(cockpit) };
}

describe('a restart', () => {
  it('shows its phases on the button, then what became of it, then its rest', async () => {
    const { backend, cockpit, actions } = setup();
    let answer: (a: Answer) => void = () => undefined;
    backend.answers.set('POST /api/services/api/restart', () => new Promise<Answer>((r) => (answer = r)));
    const label = (): string => {
      const s = cockpit.service('api');
      return s === undefined ? '' : buttonFace(s, actions.pending['api']).label;
    };

    expect(label()).toBe('Restart');
    actions.request(cockpit.services[1] ?? service(), 'restart');
    expect(label()).toBe('Restarting…');
    cockpit.apply({ seq: 1, at: '', type: 'service', service: service({ state: 'stopping' }) });
    expect(label()).toBe('Stopping…');
    cockpit.apply({ seq: 2, at: '', type: 'service', service: service({ state: 'starting' }) });
    expect(label()).toBe('Starting…');
    // Ready again before the answer is there.
    cockpit.apply({ seq: 3, at: '', type: 'service', service: service({ since: at(0) }) });
    expect(label()).toBe('Ready ✓');
    answer({ status: 200, body: service({ since: at(0) }) });
    await settle();
    expect(label()).toBe('Ready ✓');
    await vi.advanceTimersByTimeAsync(2_500);
    expect(label()).toBe('Restart');
  });

  it('becomes a notice with the remedy when it fails', async () => {
    const { backend, cockpit, actions } = setup();
    backend.on(
      'POST /api/services/db/restart',
      { code: 'docker_not_running', title: 'Docker does not answer', remedy: 'open -a Docker' },
      502,
    );
    actions.request(cockpit.services[0] ?? service(), 'restart');
    await settle();
    expect(actions.notices).toMatchObject([
      { title: 'Restart db: Docker does not answer', remedy: 'open -a Docker' },
    ]);
    expect(actions.pending).toEqual({});
    await vi.advanceTimersByTimeAsync(20_000);
    expect(actions.notices).toEqual([]);
  });

  it('is not sent twice', () => {
    const { backend, cockpit, actions } = setup();
    backend.answers.set('POST /api/services/db/restart', () => new Promise<Answer>(() => undefined));
    const db = cockpit.services[0] ?? service();
    actions.request(db, 'restart');
    actions.request(db, 'restart');
    expect(backend.requests).toHaveLength(1);
  });
});

describe('a stop', () => {
  it('gives up a start that does not come to its end, and says nothing of that', async () => {
    const { backend, actions } = setup();
    let giveUp: (reason: Error) => void = () => undefined;
    backend.answers.set(
      'POST /api/services/old/start',
      () => new Promise<Answer>((_, reject) => (giveUp = reject)),
    );
    backend.on('POST /api/services/old/stop', service({ name: 'old', state: 'stopped', actions: ['start'] }));
    const old = service({ name: 'old', state: 'starting', actions: ['stop'] });
    actions.request(old, 'start');
    actions.request(old, 'restart');
    actions.request(old, 'stop');
    actions.question?.run();
    giveUp(new Unreachable('old was stopped before it was ready'));
    await settle();
    expect(backend.requests.map((one) => one.path)).toEqual([
      '/api/services/old/start',
      '/api/services/old/stop',
    ]);
    expect(actions.notices).toEqual([]);
    expect(actions.pending['old']?.done).toBe(true);
  });

  it('asks first and names who depends on it, but only who runs', async () => {
    const { backend, cockpit, actions } = setup();
    backend.on('POST /api/services/db/stop', service({ name: 'db', state: 'stopped', actions: ['start'] }));
    actions.request(cockpit.services[0] ?? service(), 'stop');
    expect(backend.requests).toEqual([]);
    expect(actions.question?.title).toBe('Stop db?');
    expect(actions.question?.body.join(' ')).toContain('api depends on it');
    expect(actions.question?.body.join(' ')).not.toContain('old');
    actions.question?.run();
    await settle();
    expect(backend.requests).toMatchObject([{ method: 'POST', path: '/api/services/db/stop' }]);
    expect(cockpit.service('db')?.state).toBe('stopped');
  });

  it('says so when nobody answers', async () => {
    const { backend, cockpit, actions } = setup();
    backend.answers.set('POST /api/services/db/stop', () => {
      throw new Unreachable('connection refused');
    });
    actions.request(cockpit.services[0] ?? service(), 'stop');
    actions.question?.run();
    await settle();
    expect(actions.notices[0]?.title).toBe('Stop db: the engine is not answering');
  });
});

it('writes names of models so that they stay one part of the path', async () => {
  const { backend, actions } = setup();
  await actions.unload('ollama', 'hf.co/me/model:q4');
  expect(backend.requests[0]?.path).toBe('/api/services/ollama/models/hf.co%2Fme%2Fmodel%3Aq4/unload');
});

describe('buttonFace', () => {
  it('offers a take-over only where there is nothing gentler, and nothing where there is nothing', () => {
    expect(buttonFace(service({ actions: ['take_over'] }), undefined).label).toBe('Take Over…');
    expect(buttonFace(service({ actions: ['take_over', 'restart'] }), undefined).label).toBe('Restart');
    expect(buttonFace(service({ actions: [] }), undefined).label).toBe('');
  });
});

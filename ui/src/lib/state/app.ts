/** What every component may reach, by Svelte context. */

import { getContext, setContext } from 'svelte';

import type { Actions } from './actions.svelte';
import type { Cockpit } from './cockpit.svelte';
import type { Traffic } from '../traffic/traffic.svelte';
import type { Overlay } from './overlay.svelte';

export interface App {
  cockpit: Cockpit;
  actions: Actions;
  overlay: Overlay;
  traffic: Traffic;
}

export const APP = 'studio-cockpit';

export function getApp(): App {
  return getContext<App>(APP);
}

export function setApp(app: App): App {
  return setContext(APP, app);
}

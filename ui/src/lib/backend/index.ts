import type { Backend } from './backend';
import { BrowserBackend, takeTokenFromFragment } from './browser';
import { insideTauri, TauriBackend } from './tauri';

export * from './backend';
export { follow, type Following, type Link } from './follow';

/** The backend that fits where the page runs. */
export function chooseBackend(): Backend {
  if (insideTauri()) return new TauriBackend();
  takeTokenFromFragment(location, history, sessionStorage);
  return new BrowserBackend();
}

import type { Backend } from './backend';
import { BrowserBackend, isSignInLink, takeCodeFromFragment } from './browser';
import { insideTauri, TauriBackend } from './tauri';

export * from './backend';
export { follow, type Following, type Link } from './follow';

/** The backend that fits where the page runs. */
export function chooseBackend(): Backend {
  if (insideTauri()) return new TauriBackend();
  takeCodeFromFragment(location, history, sessionStorage);
  // A sign-in link that is opened in this very tab changes the fragment only, which loads nothing.
  addEventListener('hashchange', () => {
    if (isSignInLink(location.hash)) location.reload();
  });
  return new BrowserBackend();
}

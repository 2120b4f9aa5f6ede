// Which screen is shown: the fragment of the address, followed.
import { href, parse, type Place, type Screen } from './route';

class Router {
  at: Place = $state.raw(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.at = parse(location.hash)));
  }

  go(screen: Screen, item?: string | null, query?: Record<string, string>): void {
    location.hash = href(screen, item, query);
  }

  /** Changes the question of the screen (a filter, a tab) without a step in the history. */
  ask(query: Record<string, string>): void {
    const merged = { ...this.at.query, ...query };
    history.replaceState(null, '', href(this.at.screen, this.at.item, merged));
    this.at = parse(location.hash);
  }
}

export const router = new Router();

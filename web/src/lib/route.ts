// Addresses of screens: `#/machines/web1?tab=log`. In the fragment, so that any server can host the files.

export const SCREENS = ['fleet', 'machines', 'pending', 'images', 'deployments', 'mesh', 'sites', 'events', 'audit', 'settings'] as const;
export type Screen = (typeof SCREENS)[number];

export interface Place {
  screen: Screen;
  /** What is shown of it: a machine's name. */
  item: string | null;
  query: Record<string, string>;
}

export function parse(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [screen = '', item = ''] = path.split('/', 2);
  const known = SCREENS.find((name) => name === screen);
  return { screen: known ?? 'fleet', item: item ? safeDecode(item) : null, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function href(screen: Screen, item?: string | null, query: Record<string, string> = {}): string {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${screen}${item ? `/${encodeURIComponent(item)}` : ''}${asked ? `?${asked}` : ''}`;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Light or dark: as the system says, until a person chooses.
type Choice = 'system' | 'light' | 'dark';
const KEY = 'enforcer-theme';

class Theme {
  choice: Choice = $state(read());

  /** The next one. */
  turn(): void {
    this.choice = this.choice === 'system' ? 'dark' : this.choice === 'dark' ? 'light' : 'system';
    try {
      localStorage.setItem(KEY, this.choice);
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
    this.apply();
  }

  apply(): void {
    const root = document.documentElement;
    if (this.choice === 'system') delete root.dataset.theme;
    else root.dataset.theme = this.choice;
  }
}

function read(): Choice {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === 'dark' || kept === 'light' ? kept : 'system';
  } catch {
    return 'system';
  }
}

export const theme = new Theme();

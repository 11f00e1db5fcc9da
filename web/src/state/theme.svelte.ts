/** Dark or light: the system's wish until this browser's user chose. `public/theme.js` does the same before the first paint. */

import { store, stored } from './stored'

export type Choice = 'system' | 'light' | 'dark'

const system = matchMedia('(prefers-color-scheme: dark)')

class Theme {
  choice = $state<Choice>('system')
  private systemDark = $state(system.matches)
  readonly dark = $derived(this.choice === 'system' ? this.systemDark : this.choice === 'dark')

  constructor() {
    const chosen = stored('theme')
    if (chosen === 'light' || chosen === 'dark') this.choice = chosen
    system.addEventListener('change', (event) => {
      this.systemDark = event.matches
      this.apply()
    })
    this.apply()
  }

  choose(choice: Choice): void {
    this.choice = choice
    store('theme', choice === 'system' ? null : choice)
    this.apply()
  }

  private apply(): void {
    document.documentElement.dataset['theme'] = this.dark ? 'dark' : 'light'
  }
}

export const theme = new Theme()

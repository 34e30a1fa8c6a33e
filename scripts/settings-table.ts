import type { Setting } from '../src/config/setting.ts'
import { nameOf, namesOf, settingKeys, settings } from '../src/config/settings.ts'

/** Returns the table of the settings that belong to a page of the docs. */
export function settingsTable(page: 'cli' | 'bots'): string {
  const keys = settingKeys.filter((key) => (settings[key] as Setting).page === page)
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ')
  if (page === 'bots') {
    const rows = keys.map((key) => `| \`${nameOf(key)}\` | ${settings[key].about} |`)
    return ['| variable | meaning |', '|---|---|', ...rows].join('\n')
  }
  const rows = keys.map((key) => {
    const { for: reader = '', about } = settings[key] as Setting
    return `| \`${nameOf(key)}\` | ${code(namesOf(key).slice(1))} | ${reader} | ${about} |`.replaceAll(
      '|  |',
      '| |',
    )
  })
  return ['| variable | old names | for | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

import type { Setting } from '../src/config/setting.ts'
import { nameOf, namesOf, type SettingKey, settingKeys, settings } from '../src/config/settings.ts'

/** Titles of the tables of the command line's variables, by who sets them. */
const groups = {
  caller: 'Set by people who use commands',
  hub: 'Set by operators of a hub',
  runner: 'Set by operators of a runner',
  both: 'Set by operators of a hub or a runner',
  errand: 'Set by Errand itself',
} as const

/** Returns the settings of a page of the docs as a table; those of the command line are one table per group. */
export function settingsTable(page: 'cli' | 'bots'): string {
  const keys = settingKeys.filter((key) => (settings[key] as Setting).page === page)
  if (page === 'bots') {
    const rows = keys.map((key) => `| \`${nameOf(key)}\` | ${settings[key].about} |`)
    return ['| variable | meaning |', '|---|---|', ...rows].join('\n')
  }
  return Object.entries(groups)
    .map(([group, title]) => {
      const rows = keys.filter((key) => groupOf(key) === group).map(rowOf)
      return [`**${title}**`, '', '| variable | old names | for | meaning |', '|---|---|---|---|', ...rows]
    })
    .map((lines) => lines.join('\n'))
    .join('\n\n')
}

/** Finds who sets a variable by the programs that read it. Errand sets those of provisioned runners. */
function groupOf(key: SettingKey): keyof typeof groups {
  if (key.startsWith('ERRAND_MADE_')) return 'errand'
  const readers = (settings[key] as Setting).for ?? ''
  const [isHub, isRunner] = [readers.includes('`up`'), readers.includes('`runner`')]
  if (isHub && readers.includes('commands')) return 'caller'
  if (isHub) return isRunner ? 'both' : 'hub'
  if (readers.startsWith('everything')) return 'both'
  return isRunner ? 'runner' : 'caller'
}

function rowOf(key: SettingKey): string {
  const { for: reader = '', about } = settings[key] as Setting
  const old = namesOf(key).slice(1)
  const names = old.map((name) => `\`${name}\``).join(', ')
  return `| \`${nameOf(key)}\` | ${names} | ${reader} | ${about} |`.replaceAll('|  |', '| |')
}

import { SOURCE_PASSWORD } from '../../blueprints/registry-password.ts'
import type { BotSource } from '../../contract/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import { shellWord } from '../../platform/shell-word.ts'

export interface EndedBot {
  source: BotSource
  /** Names of secrets that went with it. */
  names: readonly string[]
  /** Name of one that the hub keeps on, where that is the password of its source. */
  storedPassword?: string
}

/** The bot has ended, and a run of it would lack these secrets: what starts it again, under the same id. */
export function startAnew(botId: string, { source, names, storedPassword }: EndedBot): ErrandError {
  const variables = names.filter((name) => name !== SOURCE_PASSWORD).map((name) => `-e ${name}`)
  const given = options(source, storedPassword).map(shellWord)
  const command = ['errand bot start', botId, ...given, ...variables].join(' ')
  return new ErrandError('conflict', `The bot "${botId}" has ended, and its secrets went with it.`, {
    hint: `Start it anew under the same id, its secrets given again: ${command}`,
  })
}

function options(source: BotSource, storedPassword?: string): string[] {
  if (source.mode === 'simple') {
    const others = Object.keys(source.files).filter((path) => path !== source.entrypoint)
    return ['--simple', source.entrypoint, ...others]
  }
  if (source.mode === 'git') {
    const { url, ref } = source
    const auth = source.git_auth ?? source.built
    const token = storedPassword === undefined ? ['--git-token'] : ['--git-secret', storedPassword]
    const user = auth?.username === undefined ? [] : ['--username', auth.username]
    return ['--custom', url, ...(ref ? ['--ref', ref] : []), ...(auth ? [...user, ...token] : [])]
  }
  if (source.mode === 'archive') return ['--custom', 'FOLDER']
  const { image, registry_auth, pulled } = source
  const { username } = registry_auth ?? pulled ?? {}
  return ['--image', image, ...(username === undefined ? [] : ['--username', username])]
}

import { REGISTRY_PASSWORD } from '../../blueprints/registry-password.ts'
import type { BotSource } from '../../contract/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import { shellWord } from '../../platform/shell-word.ts'

/** The bot has ended, and a run of it would lack these secrets: what starts it again, under the same id. */
export function startAnew(botId: string, source: BotSource, secrets: readonly string[]): ErrandError {
  const variables = secrets.filter((name) => name !== REGISTRY_PASSWORD).map((name) => `-e ${name}`)
  const command = ['errand bot start', botId, ...options(source).map(shellWord), ...variables].join(' ')
  return new ErrandError('conflict', `The bot "${botId}" has ended, and its secrets went with it.`, {
    hint: `Start it anew under the same id, its secrets given again: ${command}`,
  })
}

function options(source: BotSource): string[] {
  if (source.mode === 'simple') {
    const others = Object.keys(source.files).filter((path) => path !== source.entrypoint)
    return ['--simple', source.entrypoint, ...others]
  }
  if (source.mode === 'git') return ['--custom', source.url, ...(source.ref ? ['--ref', source.ref] : [])]
  if (source.mode === 'archive') return ['--custom', 'FOLDER']
  const { image, registry_auth, pulled } = source
  const { username } = registry_auth ?? pulled ?? {}
  return ['--image', image, ...(username === undefined ? [] : ['--username', username])]
}

import { type CommandGroup, command, UsageError } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson, printTable } from './print.ts'

const list = command({
  summary: 'List tokens.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand tokens list'],
  async run({ json, ...hub }) {
    const { tokens } = await connect(hub).tokens.list()
    if (json) printJson(tokens)
    else {
      const rows = tokens.map((one) => [
        one.id,
        one.name,
        one.scope,
        one.user,
        one.revoked_at !== undefined
          ? 'revoked'
          : one.used_at !== undefined
            ? 'used'
            : (one.expires_at ?? 'never'),
        one.last_used_at ?? 'never',
      ])
      printTable(['ID', 'NAME', 'SCOPE', 'USER', 'EXPIRES', 'LAST USED'], rows, 'There are no tokens.')
    }
    return 0
  },
})

const create = command({
  summary: 'Make a token; its text is shown this once.',
  args: '<name>',
  options: {
    scope: {
      type: 'string',
      value: 'SCOPE',
      help: '"api" to act as you (default), "runner" to connect a runner, "metrics" to read /metrics',
    },
    group: { type: 'string', value: 'GROUP', help: 'The one group that a runner token may serve' },
    'expires-in': { type: 'string', value: 'SECONDS', help: 'Default: it does not expire' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand tokens create laptop', 'errand tokens create server-01 --scope runner'],
  async run({ scope = 'api', group, 'expires-in': expires, json, ...hub }, [name]) {
    if (scope !== 'api' && scope !== 'runner' && scope !== 'metrics')
      throw new UsageError(`--scope is "${scope}"`, 'it is "api", "runner" or "metrics"')
    const seconds = expires === undefined ? undefined : Number(expires)
    const made = await connect(hub).tokens.create({ name: name!, scope, group, expires_in_seconds: seconds })
    if (json) printJson(made)
    else process.stdout.write(`${made.token}\n`)
    return 0
  },
})

const revoke = command({
  summary: 'Revoke a token, at once.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand tokens revoke token_abc'],
  async run(hub, [id]) {
    await connect(hub).tokens.revoke(id!)
    process.stdout.write(`${id} is revoked.\n`)
    return 0
  },
})

export const tokens: CommandGroup = {
  summary: 'Manage the tokens of a hub.',
  commands: { list, create, revoke },
}

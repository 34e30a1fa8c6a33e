import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { expiresSoon, hubOptions, lifetimeSeconds, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'

const scopes = ['api', 'runner', 'enroll', 'metrics'] as const
const permissions = ['tokens', 'users', 'secrets'] as const
const statuses = ['good', 'used', 'expired', 'revoked'] as const

const list = command({
  summary: 'List tokens.',
  options: {
    name: { type: 'string', value: 'NAME', help: 'Only tokens with this name' },
    scope: { type: 'string', value: 'SCOPE', help: `Only tokens with this scope: ${scopes.join(', ')}` },
    status: { type: 'string', value: 'STATUS', help: `Only tokens with this status: ${statuses.join(', ')}` },
    user: { type: 'string', value: 'NAME', help: 'Only tokens that act as this user' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand tokens list', 'errand tokens list --scope runner --status good'],
  async run({ json, name, scope, status, user, ...hub }) {
    const { tokens } = await connect(hub).tokens.list({
      name,
      scope: oneOf('--scope', scope, scopes),
      status: oneOf('--status', status, statuses),
      user,
    })
    if (json) printJson(tokens)
    else {
      const rows = tokens.map((one) => [
        one.id,
        one.name,
        [one.scope, ...(one.allow ?? [])].join('+'),
        one.user,
        one.status,
        one.status === 'good' ? expiryText(one.expires_at) : (one.expires_at ?? 'never'),
        one.last_used_at ?? 'never',
      ])
      const narrowed = [name, scope, status, user].some((each) => each !== undefined)
      printTable(
        ['ID', 'NAME', 'SCOPE', 'USER', 'STATUS', 'EXPIRES', 'LAST USED'],
        rows,
        narrowed ? 'No tokens match.' : 'There are no tokens.',
      )
    }
    return 0
  },
})

const create = command({
  summary: 'Create a token. Its text is shown only once.',
  args: '<name>',
  options: {
    scope: {
      type: 'string',
      value: 'SCOPE',
      help: '"api" to act as you (default), "runner" to connect a runner, "metrics" to read /metrics',
    },
    group: { type: 'string', value: 'GROUP', help: 'The only group that a runner token may serve' },
    'expires-in': {
      type: 'string',
      value: 'TIME',
      help: '15m, 1h, 30d, or seconds (default: 90 days for "api"; others do not expire)',
    },
    never: { type: 'boolean', help: 'Create a token that does not expire' },
    allow: {
      type: 'string',
      value: 'WHAT',
      help: `What an API token may create and change, comma-separated: ${permissions.join(', ')} (default: none)`,
    },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand tokens create laptop',
    'errand tokens create ci --expires-in 30d',
    'errand tokens create deploy --allow secrets,tokens --expires-in 1d',
    'errand tokens create server-01 --scope runner',
  ],
  async run({ scope: scopes, group, 'expires-in': expires, never, allow: allowed, json, ...hub }, [name]) {
    if (never && expires !== undefined)
      throw new UsageError('--never and --expires-in cannot be combined', 'leave one out')
    const scope = oneOf('--scope', scopes, ['api', 'runner', 'metrics'])
    const expires_in_seconds = never ? null : lifetimeSeconds('--expires-in', expires)
    const allow = allowed?.split(',').flatMap((one) => oneOf('--allow', one.trim(), permissions) ?? [])
    const made = await connect(hub).tokens.create({ name: name!, scope, group, expires_in_seconds, allow })
    if (json) printJson(made)
    else {
      process.stdout.write(`${made.token}\n`)
      const until = made.expires_at === undefined ? 'does not expire' : `is valid until ${made.expires_at}`
      const maker =
        made.made_by === undefined ? '' : `, but no longer than the token that created it (${made.made_by})`
      process.stderr.write(`It ${until}${maker}.\n`)
    }
    return 0
  },
})

const revoke = command({
  summary: 'Revoke a token immediately.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand tokens revoke token_abc'],
  async run(hub, [id]) {
    await connect(hub).tokens.revoke(id!)
    process.stdout.write(`${id} is revoked.\n`)
    return 0
  },
})

const expiryText = (expires_at: string | undefined): string => {
  const soon = expiresSoon(expires_at)
  return soon === undefined ? (expires_at ?? 'never') : `${expires_at} (${soon})`
}

export const tokens: CommandGroup = {
  summary: 'Manage the tokens of a hub.',
  commands: { list, create, revoke },
}

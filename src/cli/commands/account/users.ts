import { ErrandClient } from '../../../client/client.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { DEFAULT_TENANT } from '../../../hub/auth/tokens.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect, connection, isSession, savedLogin, writeLogin } from '../../connection.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'
import { askSecret } from '../../secret-values.ts'

const passwordOption = {
  'password-stdin': { type: 'boolean', help: 'Read the password from standard input' },
} as const

async function idOf(client: ErrandClient, name: string): Promise<string> {
  const { users: all } = await client.users.list()
  const user = all.find((one) => one.name.toLowerCase() === name.toLowerCase() || one.id === name)
  if (user === undefined)
    throw new ErrandError('not_found', `User "${name}" not found.`, {
      hint: 'List users with: errand users list',
    })
  return user.id
}

const list = command({
  summary: 'List users.',
  options: {
    name: { type: 'string', value: 'NAME', help: 'Only the user with this name' },
    role: { type: 'string', value: 'ROLE', help: 'Only users with this role: admin, user' },
    status: { type: 'string', value: 'STATUS', help: 'Only users with this status: active, disabled' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand users list', 'errand users list --role admin --json'],
  async run({ json, name, role, status, ...hub }) {
    const { users: all } = await connect(hub).users.list({
      name,
      role: oneOf('--role', role, ['admin', 'user']),
      status: oneOf('--status', status, ['active', 'disabled']),
    })
    if (json) printJson(all)
    else {
      const rows = all.map((one) => [
        one.name,
        one.role,
        one.tenant,
        one.disabled ? 'disabled' : 'active',
        one.created_at,
      ])
      printTable(['NAME', 'ROLE', 'TENANT', 'STATUS', 'CREATED'], rows, 'No users match.')
    }
    return 0
  },
})

const add = command({
  summary: 'Add a user.',
  args: '<name>',
  options: {
    admin: { type: 'boolean', help: 'Make the user an admin' },
    tenant: {
      type: 'string',
      value: 'NAME',
      help: 'Tenant of the user, for admins of the first tenant (default: yours)',
    },
    ...passwordOption,
    ...hubOptions,
  },
  examples: [
    'errand users add anna',
    'errand users add ops --admin --password-stdin < password.txt',
    'errand users add boss --admin --tenant acme',
  ],
  async run({ admin, tenant, 'password-stdin': fromStdin, ...hub }, [name]) {
    const password = await askSecret(`Password for ${name}`, fromStdin ?? false)
    const role = admin ? 'admin' : 'user'
    const user = await connect(hub).users.create({ name: name!, password, role, tenant })
    const as = user.tenant === DEFAULT_TENANT ? '' : ` They log in as ${user.tenant}/${user.name}.`
    process.stdout.write(`${lineText(`${user.name} (${user.role}) is added.${as}`)}\n`)
    for (const warning of user.warnings) process.stderr.write(`warning: ${lineText(warning)}\n`)
    return 0
  },
})

const password = command({
  summary: "Change your password, or set a new one for a user. That user's sessions end.",
  args: '[name]',
  options: {
    'password-stdin': {
      type: 'boolean',
      help: 'Read the password from standard input; for your own, write the current one on a line before the new one',
    },
    ...hubOptions,
  },
  examples: ['errand users password', 'errand users password anna'],
  async run({ 'password-stdin': fromStdin = false, ...hub }, [name]) {
    if (name === undefined) return changeOwn(connection(hub), fromStdin)
    const client = connect(hub)
    const id = await idOf(client, name)
    await client.users.update(id, { password: await askSecret(`New password for ${name}`, fromStdin) })
    process.stdout.write(`${name} has a new password.\n`)
    return 0
  },
})

async function changeOwn(to: { url: string; token?: string }, fromStdin: boolean): Promise<number> {
  const client = new ErrandClient(to)
  const { name } = await client.auth.me()
  const current = await askSecret(`Current password of ${name}`, fromStdin)
  const lines = current.split(/\r?\n/)
  if (fromStdin && lines.length !== 2)
    throw new UsageError(
      `standard input has ${lines.length} lines`,
      'write the current password on the first line and the new one on the second',
    )
  const [current_password, new_password] = fromStdin
    ? (lines as [string, string])
    : [current, await askSecret('New password', false)]
  const { token } = await client.auth.changePassword({ current_password, new_password })
  const login = savedLogin()
  if (login !== undefined && login.token === to.token && isSession(login.token))
    writeLogin({ ...login, token })
  process.stdout.write(`${name} has a new password. Other log-ins have ended; API tokens stay valid.\n`)
  return 0
}

/** Lists the runners that keep running although the user who enrolled them has fewer rights now. */
async function reportRunners(client: ErrandClient, name: string): Promise<void> {
  const { tokens } = await client.tokens.list({ scope: 'runner', status: 'good' })
  const theirs = tokens.filter((token) => token.user.toLowerCase() === name.toLowerCase())
  const ids = [...new Set(theirs.flatMap(({ runner_id }) => runner_id ?? []))]
  if (ids.length > 0)
    process.stdout.write(
      `Runners that ${name} enrolled keep running: ${lineText(ids.join(', '))}. Anyone who had one of these machines may have its token. To revoke it: errand runners remove ID.\n`,
    )
}

const role = command({
  summary: 'Make a user an admin, or an admin a user. Rights that only admins have end immediately.',
  args: '<name> <role>',
  options: hubOptions,
  examples: ['errand users role anna admin', 'errand users role anna user'],
  async run(hub, [name, role]) {
    const client = connect(hub)
    const become = oneOf('the role', role, ['admin', 'user'])
    await client.users.update(await idOf(client, name!), { role: become })
    process.stdout.write(`${name} is ${become === 'admin' ? 'an admin' : 'a user'}.\n`)
    if (become === 'user') await reportRunners(client, name!)
    return 0
  },
})

const switchTo = (disabled: boolean) =>
  command({
    summary: disabled ? 'Lock a user out; their tokens are refused.' : 'Let a disabled user in again.',
    args: '<name>',
    options: hubOptions,
    examples: [`errand users ${disabled ? 'disable' : 'enable'} anna`],
    async run(hub, [name]) {
      const client = connect(hub)
      await client.users.update(await idOf(client, name!), { disabled })
      process.stdout.write(`${name} is ${disabled ? 'disabled' : 'enabled'}.\n`)
      if (disabled) await reportRunners(client, name!)
      return 0
    },
  })

const logout = command({
  summary: 'End all sessions of a user, in browsers and on command lines; API tokens stay valid.',
  args: '<name>',
  options: hubOptions,
  examples: ['errand users logout anna'],
  async run(hub, [name]) {
    const client = connect(hub)
    await client.users.logOut(await idOf(client, name!))
    process.stdout.write(`${name} is logged out everywhere.\n`)
    return 0
  },
})

const remove = command({
  summary: 'Delete a user and their tokens.',
  args: '<name>',
  options: hubOptions,
  examples: ['errand users remove anna'],
  async run(hub, [name]) {
    const client = connect(hub)
    await client.users.remove(await idOf(client, name!))
    process.stdout.write(`${name} is removed.\n`)
    await reportRunners(client, name!)
    return 0
  },
})

export const users: CommandGroup = {
  summary: 'Manage the users of a hub.',
  commands: {
    ...{ list, add, password, role, logout },
    ...{ disable: switchTo(true), enable: switchTo(false), remove },
  },
}

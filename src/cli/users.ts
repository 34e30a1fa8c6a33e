import type { ErrandClient } from '../client/client.ts'
import { ErrandError } from '../contract/errors.ts'
import { askSecret } from './ask-secret.ts'
import { type CommandGroup, command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson, printTable } from './print.ts'

const passwordOption = {
  'password-stdin': { type: 'boolean', help: 'Read the password from standard input' },
} as const

async function idOf(client: ErrandClient, name: string): Promise<string> {
  const { users: all } = await client.users.list()
  const user = all.find((one) => one.name.toLowerCase() === name.toLowerCase() || one.id === name)
  if (user === undefined)
    throw new ErrandError('not_found', `There is no user "${name}".`, {
      hint: 'errand users list shows them.',
    })
  return user.id
}

const list = command({
  summary: 'List users.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand users list'],
  async run({ json, ...hub }) {
    const { users: all } = await connect(hub).users.list()
    if (json) printJson(all)
    else {
      const rows = all.map((one) => [
        one.name,
        one.role,
        one.disabled ? 'disabled' : 'active',
        one.created_at,
      ])
      printTable(['NAME', 'ROLE', 'STATUS', 'CREATED'], rows, 'There are no users.')
    }
    return 0
  },
})

const add = command({
  summary: 'Add a user.',
  args: '<name>',
  options: {
    admin: { type: 'boolean', help: 'Make an admin' },
    tenant: {
      type: 'string',
      value: 'NAME',
      help: 'Of another tenant, for admins of the first (default: yours)',
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
    process.stdout.write(`${user.name} (${user.role}) is added.\n`)
    return 0
  },
})

const password = command({
  summary: 'Give a user a new password; their sessions end.',
  args: '<name>',
  options: { ...passwordOption, ...hubOptions },
  examples: ['errand users password anna'],
  async run({ 'password-stdin': fromStdin, ...hub }, [name]) {
    const client = connect(hub)
    const id = await idOf(client, name!)
    await client.users.update(id, {
      password: await askSecret(`New password for ${name}`, fromStdin ?? false),
    })
    process.stdout.write(`${name} has a new password.\n`)
    return 0
  },
})

const switchTo = (disabled: boolean) =>
  command({
    summary: disabled ? 'Keep a user out; their tokens are refused.' : 'Let a disabled user in again.',
    args: '<name>',
    options: hubOptions,
    examples: [`errand users ${disabled ? 'disable' : 'enable'} anna`],
    async run(hub, [name]) {
      const client = connect(hub)
      await client.users.update(await idOf(client, name!), { disabled })
      process.stdout.write(`${name} is ${disabled ? 'disabled' : 'enabled'}.\n`)
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
    return 0
  },
})

export const users: CommandGroup = {
  summary: 'Manage the users of a hub.',
  commands: { list, add, password, disable: switchTo(true), enable: switchTo(false), remove },
}

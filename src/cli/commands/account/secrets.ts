import { buffer } from 'node:stream/consumers'
import type { ErrandClient } from '../../../client/client.ts'
import type { SecretView, StoredSecret } from '../../../contract/secrets.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { secretScopeText } from '../../render/summary.ts'
import { lineText } from '../../render/terminal-text.ts'
import { askSecret, checkedSecret, decodedSecret, secretArgument } from '../../secret-values.ts'

const scopeOptions = {
  repository: { type: 'string', short: 'r', value: 'NAME', help: 'Only for runs for this repository' },
  workflow: { type: 'string', short: 'w', value: 'NAME', help: 'Only for runs of this workflow' },
} as const

const ownerOption = {
  owner: { type: 'string', value: 'NAME', help: "The user's own secrets, which runs of admins do not get" },
} as const

const list = command({
  summary: 'List the secrets of a hub; their values are never shown.',
  options: {
    name: { type: 'string', value: 'NAME', help: 'Only secrets with this name' },
    scope: {
      type: 'string',
      value: 'SCOPE',
      help: 'Only secrets of this scope: tenant, repository or workflow',
    },
    ...scopeOptions,
    ...ownerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand secrets list', 'errand secrets list --workflow deploy --json'],
  async run({ json, name, scope, repository, workflow, owner, ...hub }) {
    const { secrets: all } = await connect(hub).secrets.list({
      name,
      scope: oneOf('--scope', scope, ['tenant', 'repository', 'workflow']),
      repository,
      workflow,
      owner,
    })
    if (json) printJson(all)
    else {
      const narrowed = [name, scope, repository, workflow, owner].some((each) => each !== undefined)
      const none = narrowed ? 'No secrets match.' : 'There are no secrets.'
      printTable(['NAME', 'FOR', 'SENT TO', 'UPDATED', 'BY'], all.map(row), none)
    }
    return 0
  },
})

const row = (secret: SecretView): string[] => [
  secret.name,
  secretScopeText(secret),
  hostsText(secret.hosts),
  secret.updated_at,
  secret.updated_by,
]

/** Lists the servers that a secret may be sent to as a token; empty if it is not bound to servers. */
const hostsText = (hosts: SecretView['hosts']): string =>
  hosts?.length === 0 ? 'no server' : (hosts ?? []).join(', ')

const set = command({
  summary:
    'Store a secret at a hub, or replace it. With --host and no value, let an existing secret be sent to these servers too.',
  args: '<NAME|NAME=@FILE|NAME=VALUE>',
  options: {
    'value-from-stdin': { type: 'boolean', help: 'Read the value from standard input' },
    host: {
      type: 'string',
      multiple: true,
      value: 'HOST[:PORT]',
      help: 'Server that it may be sent to as the token of a repository; GIT_TOKEN is sent to no other server',
    },
    ...scopeOptions,
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand secrets set DEPLOY_TOKEN',
    'errand secrets set GIT_TOKEN --host github.com --host git.example.org:8443',
    'errand secrets set SSH_KEY=@id_ed25519 --repository shop',
    'vault read -field=token x | errand secrets set TOKEN --value-from-stdin --workflow deploy',
  ],
  async run({ 'value-from-stdin': fromStdin, host: hosts, repository, workflow, json, ...hub }, [argument]) {
    const { name, value, typed } = secretArgument(argument!)
    if (fromStdin && value !== undefined)
      throw new UsageError(`--value-from-stdin and ${name}=… both give a value`, 'leave one out')
    if (typed)
      process.stderr.write(
        `warning: shells remember what you type, and other programs can see it; next time write ${name} alone\n`,
      )
    const client = connect(hub)
    const place = { repository, workflow }
    const hasValue = value !== undefined || fromStdin === true
    let bindings = hosts !== undefined && !hasValue ? await allowed(client, name, place, hosts) : undefined
    if (bindings === undefined) {
      const checked = checkedSecret(name, value ?? (await readValue(name, fromStdin ?? false)))
      bindings = await client.secrets.set(name, { value: checked, hosts, ...place })
    }
    if (json) printJson(bindings)
    else {
      const to = bindings.hosts?.length ? `, and may be sent to ${bindings.hosts.join(', ')}` : ''
      process.stdout.write(`${lineText(`${name} is stored for ${secretScopeText(bindings)}${to}.`)}\n`)
      if (bindings.hosts?.length === 0)
        process.stderr.write(`warning: ${lineText(bindings.warnings.at(-1)!)}\n`)
    }
    return 0
  },
})

type SecretAddress = Pick<SecretView, 'repository' | 'workflow'>

/** Lets the existing secret be sent to more hosts, and returns it; undefined if there is none. */
async function allowed(
  client: ErrandClient,
  name: string,
  place: SecretAddress,
  more: readonly string[],
): Promise<StoredSecret | undefined> {
  const { name: me, role } = await client.auth.me()
  const { secrets: all } = await client.secrets.list({ name, ...place })
  const owner = role === 'admin' ? undefined : me
  const found = all.find(
    (one) => one.repository === place.repository && one.workflow === place.workflow && one.owner === owner,
  )
  if (found === undefined) return undefined
  return await client.secrets.set(name, { hosts: [...new Set([...(found.hosts ?? []), ...more])], ...place })
}

async function readValue(name: string, fromStdin: boolean): Promise<string> {
  if (fromStdin) return decodedSecret(name, await buffer(process.stdin))
  return await askSecret(`Value of ${name}`, false, '--value-from-stdin')
}

const remove = command({
  summary: 'Delete a secret of a hub immediately.',
  args: '<name>',
  options: { ...scopeOptions, ...ownerOption, ...hubOptions },
  examples: ['errand secrets delete DEPLOY_TOKEN', 'errand secrets delete SSH_KEY --repository shop'],
  async run({ repository, workflow, owner, ...hub }, [name]) {
    await connect(hub).secrets.remove(name!, { repository, workflow, owner })
    process.stdout.write(`${name} for ${secretScopeText({ repository, workflow, owner })} is deleted.\n`)
    return 0
  },
})

export const secrets: CommandGroup = {
  summary: 'Manage the secrets that a hub stores for steps.',
  commands: { list, set, delete: remove },
}

import { buffer } from 'node:stream/consumers'
import type { SecretView } from '../../../contract/secrets.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { secretScopeText } from '../../render/summary.ts'
import { askSecret, checkedSecret, decodedSecret, secretArgument } from '../../secret-values.ts'

const scopeOptions = {
  repository: { type: 'string', short: 'r', value: 'NAME', help: 'Only for runs for this repository' },
  workflow: { type: 'string', short: 'w', value: 'NAME', help: 'Only for runs of this workflow' },
} as const

const ownerOption = {
  owner: { type: 'string', value: 'NAME', help: "A user's own, which an admin's runs are not given" },
} as const

const list = command({
  summary: 'List the secrets of a hub; their values are never shown.',
  options: {
    name: { type: 'string', value: 'NAME', help: 'Only those of this name' },
    scope: { type: 'string', value: 'SCOPE', help: 'Only those of tenant, repository or workflow' },
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
      const none = narrowed ? 'No secret is like that.' : 'There are no secrets.'
      printTable(['NAME', 'FOR', 'UPDATED', 'BY'], all.map(row), none)
    }
    return 0
  },
})

const row = (secret: SecretView): string[] => [
  secret.name,
  secretScopeText(secret),
  secret.updated_at,
  secret.updated_by,
]

const set = command({
  summary: 'Keep a secret at a hub, in the place of the one that is there.',
  args: '<NAME|NAME=@FILE|NAME=VALUE>',
  options: {
    'value-from-stdin': { type: 'boolean', help: 'Read the value from standard input' },
    ...scopeOptions,
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand secrets set DEPLOY_TOKEN',
    'errand secrets set SSH_KEY=@id_ed25519 --repository shop',
    'vault read -field=token x | errand secrets set TOKEN --value-from-stdin --workflow deploy',
  ],
  async run({ 'value-from-stdin': fromStdin, repository, workflow, json, ...hub }, [given]) {
    const { name, value, typed } = secretArgument(given!)
    if (fromStdin && value !== undefined)
      throw new UsageError(`--value-from-stdin and ${name}=… both give a value`, 'keep one')
    if (typed)
      process.stderr.write(
        `warning: shells remember what is typed, and other programs can see it: next time write ${name} alone\n`,
      )
    const text = value ?? (await asked(name, fromStdin ?? false))
    const checked = checkedSecret(name, text)
    const kept = await connect(hub).secrets.set(name, { value: checked, repository, workflow })
    if (json) printJson(kept)
    else process.stdout.write(`${name} is kept for ${secretScopeText(kept)}.\n`)
    return 0
  },
})

async function asked(name: string, fromStdin: boolean): Promise<string> {
  if (fromStdin) return decodedSecret(name, await buffer(process.stdin))
  return await askSecret(`Value of ${name}`, false, '--value-from-stdin')
}

const remove = command({
  summary: 'Delete a secret of a hub, at once.',
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
  summary: 'Manage the secrets that a hub keeps for steps.',
  commands: { list, set, delete: remove },
}

import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { pullSecret } from '../../contract/step-secrets.ts'
import { isAtHosts, repositoryHost } from '../../forge/address.ts'
import type { StoredSecret } from '../../stores/secrets/secret-store.ts'

/** Names of secrets that may hold the token of a task's repository, in lookup order. */
export const TOKEN_SECRETS = ['GIT_TOKEN', 'GITHUB_TOKEN'] as const

/** Servers that secrets with these names are for unless a person has set others. */
const named: ReadonlyMap<string, readonly string[]> = new Map([
  ['GIT_TOKEN', []],
  ['GITHUB_TOKEN', ['github.com']],
])

type Bound = Pick<StoredSecret, 'name' | 'hosts'>

/**
 * Returns the servers that the hub may send a secret to as a token; undefined for any server that the workflow names.
 */
export const tokenHosts = ({ name, hosts }: Bound): readonly string[] | undefined => hosts ?? named.get(name)

/**
 * Reports whether the hub may send the secret to the server of this address, or give it to a step that does. An
 * address that does not clearly name a server matches none.
 */
export function mayGoTo(secret: Bound, address: string | undefined): boolean {
  const hosts = tokenHosts(secret)
  return hosts === undefined || (address !== undefined && isAtHosts(address, hosts))
}

/** Returns the error that refuses to send the secret there, with the command that allows it. */
export function notFor(secret: Bound & Partial<StoredSecret>, address: string | undefined): ErrandError {
  const host = (address !== undefined && repositoryHost(address)) || 'HOST'
  const hosts = tokenHosts(secret) ?? []
  const forWhom =
    hosts.length === 0
      ? 'it was set without any servers that it may be sent to'
      : `it is only for ${hosts.join(', ')}`
  return new ErrandError('forbidden', `The secret ${secret.name} may not be sent to ${host}: ${forWhom}.`, {
    hint: `Allow it with: ${allowing(secret, host)}`,
    details: { secret: secret.name, host },
  })
}

/** Returns the command that allows sending a secret to a server. */
export function allowing(
  { name, scope, scope_name }: Pick<StoredSecret, 'name'> & Partial<StoredSecret>,
  host: string,
) {
  const of = scope === 'repository' || scope === 'workflow' ? ` --${scope} ${JSON.stringify(scope_name)}` : ''
  return `errand secrets set ${name}${of} --host ${host}`
}

/** Actions that send the token of their repository to its server and to the server of its API. */
const repositoryActions = ['git.check', 'git.workspace', 'git.push', 'forge.pull_request']

interface TokenArgs {
  repo?: unknown
  token_env?: unknown
  forge?: { api_url?: unknown }
  source?: { url?: unknown; image?: unknown }
}

/**
 * Returns the addresses to which a step itself sends the value of this variable, as the token of a repository or the
 * password of a registry. What a command does with its variables is not covered. `apiUrlOf` gives the API address
 * that the operator has set for a host.
 */
export function sentTo(
  { action, args }: Pick<AttemptSpec, 'action' | 'args'>,
  variable: string,
  apiUrlOf: (host: string) => string | undefined = () => undefined,
): string[] {
  const { repo, token_env = 'GIT_TOKEN', forge, source } = args as TokenArgs
  if (repositoryActions.includes(action)) {
    if (token_env !== variable) return []
    const address = typeof repo === 'string' ? repo : ''
    const host = repositoryHost(address)
    const api = forge?.api_url
    if (api === undefined || (host !== undefined && api === apiUrlOf(host))) return [address]
    return [address, String(api)]
  }
  if (pullSecret({ action, args }) !== variable) return []
  return [typeof source?.url === 'string' ? source.url : registryOf(String(source?.image))]
}

/** Returns the address of the registry that an image is pulled from. */
function registryOf(image: string): string {
  const [first = '', ...path] = image.split('/')
  const isHost = path.length > 0 && /[.:]|^localhost$/.test(first)
  return `https://${isHost ? first : 'docker.io'}/`
}

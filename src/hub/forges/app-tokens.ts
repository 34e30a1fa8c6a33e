import type { ConfigFile } from '../../config/config-file.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { ForgeRights, ForgeSecret } from '../../contract/step-secrets.ts'
import { type RepositoryAddress, repositoryAddress } from '../../forge/address.ts'
import { recogniseForge } from '../../forge/open-forge.ts'
import { type GithubAppOptions, GithubAppTokens } from '../../forge/token-source.ts'
import type { ForgeTokens } from '../secrets.ts'

type Permissions = GithubAppOptions['permissions']

/** The least permissions that each kind of step can work with. */
const permissions: Readonly<Record<ForgeRights, Permissions>> = {
  read: { contents: 'read' },
  write: { contents: 'write' },
  pull_request: { contents: 'read', pull_requests: 'write', statuses: 'write' },
}

/** Rights that steps may have, by action. Any other action runs processes that could read the token. */
const allowed: Readonly<Record<string, readonly ForgeRights[]>> = {
  'git.check': ['read', 'write'],
  'git.workspace': ['read'],
  'git.push': ['write'],
  'forge.pull_request': ['pull_request'],
}

/**
 * Makes repository tokens with the Apps of the hub's configuration. Each is for one repository and one step, and
 * lasts an hour. A new one is made each time a step is handed out, so that none is close to its end.
 */
export class AppTokens implements ForgeTokens {
  readonly #config: Pick<ConfigFile, 'forgeOf' | 'isAppKey'>
  readonly #http: Pick<GithubAppOptions, 'fetch' | 'wait'>

  constructor(
    config: Pick<ConfigFile, 'forgeOf' | 'isAppKey'>,
    http: Pick<GithubAppOptions, 'fetch' | 'wait'> = {},
  ) {
    this.#config = config
    this.#http = http
  }

  isKey(name: string): boolean {
    return this.#config.isAppKey(name)
  }

  apiUrlOf(host: string): string | undefined {
    return this.#config.forgeOf(host)?.api_url
  }

  fault(
    { action, args }: Pick<AttemptSpec, 'action' | 'args'>,
    variable: string,
    { host, repository, rights }: ForgeSecret,
  ): string | undefined {
    const { repo, token_env = 'GIT_TOKEN' } = args as { repo?: unknown; token_env?: unknown }
    if (!Object.hasOwn(allowed, action)) return `"${action}" is not an action that uses a repository`
    if (!allowed[action]!.includes(rights)) return `"${action}" does not need the right "${rights}"`
    if (token_env !== variable) return `its token_env does not name ${variable}`
    const address = typeof repo === 'string' ? addressOf(repo) : undefined
    const isSame = address?.host === host && address.path.toLowerCase() === repository.toLowerCase()
    return isSame ? undefined : `its repository is not ${host}/${repository}`
  }

  /** Makes a token. Throws `invalid_argument`, `secret_not_found`, and what the forge's API throws. */
  async token(
    { host, repository, rights }: ForgeSecret,
    keyOf: (name: string) => Promise<string>,
  ): Promise<string> {
    const source = await this.source({ host, repository }, permissions[rights], keyOf)
    return await source.token()
  }

  /** Returns a token source for requests that the hub makes itself. Throws as `token` does. */
  async source(
    { host, repository }: Pick<ForgeSecret, 'host' | 'repository'>,
    rights: Permissions,
    keyOf: (name: string) => Promise<string>,
  ): Promise<GithubAppTokens> {
    const forge = this.#config.forgeOf(host)
    if (forge?.app === undefined)
      throw new ErrandError('invalid_argument', `No App is configured for ${host}.`, {
        hint: 'Retry the task. Its steps then get a token in another way.',
      })
    const { id, private_key } = forge.app
    const privateKey = await keyOf(private_key)
    const { apiUrl } = await recogniseForge({ host, path: repository, protocol: 'https' }, { hosts: [forge] })
    return new GithubAppTokens({
      ...this.#http,
      ...{ apiUrl, privateKey, repository, appId: id, permissions: rights },
      retryCount: 2,
    })
  }
}

function addressOf(repo: string): RepositoryAddress | undefined {
  try {
    return repositoryAddress(repo)
  } catch {
    return undefined
  }
}

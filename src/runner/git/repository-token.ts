import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Env, setting } from '../../config/read-setting.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { isAtHosts, repositoryHost } from '../../forge/address.ts'

/** Token of a repository, and the scope of the copies made with it: another token's copies are not used for it. */
export interface RepositoryToken {
  token?: string
  /** Unique name on this machine; `none` without a token. */
  scope: string
}

export interface TokenAsk {
  spec: Pick<AttemptSpec, 'secrets'>
  /** Variables of the step, with its secrets. */
  env: Readonly<Record<string, string>>
  args: { repo: string; token_env: string; username?: string }
}

/** Returns the token of a step's repository: the one given to the step, or else this machine's own. */
export type TokenOf = (ask: TokenAsk) => RepositoryToken

/** Name of a mounted secret that is a machine's own token. */
const MOUNTED = 'GIT_TOKEN'

/**
 * Makes the look-up of tokens for the steps of this machine. Its own are GIT_TOKEN, the file of GIT_TOKEN_FILE, a
 * mounted secret GIT_TOKEN, and for github.com GITHUB_TOKEN. Files are read each time, because they may be replaced.
 * The author of a workflow chooses neither the variable nor the file that is read here: a step that names another gets
 * none.
 */
export const tokenLookup =
  (env: Env): TokenOf =>
  (ask) => {
    const use = ofStep(ask)
    if (use.token !== undefined) return use
    const { repo, token_env, username } = ask.args
    if (token_env !== MOUNTED) return use
    const own = ownToken(env, repo)
    return own === undefined ? use : { token: own.token, scope: scoped(`runner:${own.name}`, username) }
  }

/** Returns only the token given to the step itself, and none of the machine's. */
export const stepToken: TokenOf = (ask) => ofStep(ask)

function ofStep({ spec, env, args: { token_env, username } }: TokenAsk): RepositoryToken {
  const secret = spec.secrets?.[token_env]
  const value = Object.hasOwn(env, token_env) ? env[token_env] : undefined
  const token = secret?.as === 'file' && value !== undefined ? readFileSync(value, 'utf8').trim() : value
  if (token === undefined || token === '') return { scope: 'none' }
  if (secret === undefined) return { token, scope: scoped(`value:${digest(token)}`, username) }
  // An App's tokens are new each time, and all belong to one repository.
  const { forge, from, name } = secret
  const whose = forge === undefined ? `${from}:${name}` : `app:${forge.host}/${forge.repository}`
  return { token, scope: scoped(whose, username) }
}

const digest = (token: string): string => createHash('sha256').update(token).digest('hex').slice(0, 16)
const scoped = (whose: string, username = ''): string => `${whose}:${username}`

function ownToken(env: Env, repo: string): { name: string; token: string } | undefined {
  // Only http and https use a token.
  if (!/^https?:\/\//i.test(repo) || repositoryHost(repo) === undefined) return undefined
  const hosts = setting(env, 'ERRAND_GIT_TOKEN_HOSTS')
  const isFor = hosts.length === 0 || isAtHosts(repo, hosts)
  const found = (isFor && ownTokens(env).find(({ name }) => name !== 'GITHUB_TOKEN')) || undefined
  if (found !== undefined) return found
  const token = isAtHosts(repo, ['github.com']) ? setting(env, 'GITHUB_TOKEN') : undefined
  return token === undefined ? undefined : { name: 'GITHUB_TOKEN', token }
}

/** Returns this machine's own repository tokens, as they are now; the first takes precedence. */
export function ownTokens(env: Env): { name: string; token: string }[] {
  const tokens = (['GIT_TOKEN', 'GITHUB_TOKEN'] as const).map((name) => ({ name, token: setting(env, name) }))
  const [own, ofGithub] = tokens
  const all = [
    own!,
    { name: 'GIT_TOKEN_FILE', token: fileText(setting(env, 'GIT_TOKEN_FILE')) },
    { name: 'mounted', token: fileText(join(setting(env, 'ERRAND_SECRETS_DIR'), MOUNTED)) },
    ofGithub!,
  ]
  return all.flatMap(({ name, token }) => (token === undefined || token === '' ? [] : [{ name, token }]))
}

/** Returns the text; undefined if there is none: the step then says that it has no token. */
function fileText(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Env, setting } from '../../config/read-setting.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { isAtHosts, repositoryHost } from '../../forge/address.ts'

/** The token of a repository, and what copies that were made with it are kept under: another's are not handed out for it. */
export interface RepositoryToken {
  token?: string
  /** Told from all others of this machine; `none` without a token. */
  scope: string
}

export interface TokenAsk {
  spec: Pick<AttemptSpec, 'secrets'>
  /** The step's own variables, with its secrets. */
  env: Readonly<Record<string, string>>
  args: { repo: string; token_env: string; username?: string }
}

/** The token of a step's repository: that which the step was given, else this machine's own. */
export type TokenOf = (ask: TokenAsk) => RepositoryToken

/** The file of that name among the mounted secrets is a machine's own token. */
const MOUNTED = 'GIT_TOKEN'

/**
 * Looks tokens up for the steps of this machine. Its own are GIT_TOKEN, the file of GIT_TOKEN_FILE, a mounted secret GIT_TOKEN, and
 * of github.com GITHUB_TOKEN. Files are read each time: who mounts them may change them. Who writes a workflow chooses neither the
 * variable nor the file that is read here: a step that names another gets none.
 */
export const tokenLookup =
  (env: Env): TokenOf =>
  (ask) => {
    const given = ofStep(ask)
    if (given.token !== undefined) return given
    const { repo, token_env, username } = ask.args
    if (token_env !== MOUNTED) return given
    const own = ownToken(env, repo)
    return own === undefined ? given : { token: own.token, scope: scoped(`runner:${own.name}`, username) }
  }

/** The token that the step itself was given, and nothing of the machine's. */
export const stepToken: TokenOf = (ask) => ofStep(ask)

function ofStep({ spec, env, args: { token_env, username } }: TokenAsk): RepositoryToken {
  const secret = spec.secrets?.[token_env]
  const value = Object.hasOwn(env, token_env) ? env[token_env] : undefined
  const token = secret?.as === 'file' && value !== undefined ? readFileSync(value, 'utf8').trim() : value
  if (token === undefined || token === '') return { scope: 'none' }
  if (secret === undefined) return { token, scope: scoped(`value:${digest(token)}`, username) }
  // An App's are new each time, and all of them of one repository.
  const { forge, from, name } = secret
  const whose = forge === undefined ? `${from}:${name}` : `app:${forge.host}/${forge.repository}`
  return { token, scope: scoped(whose, username) }
}

const digest = (token: string): string => createHash('sha256').update(token).digest('hex').slice(0, 16)
const scoped = (whose: string, username = ''): string => `${whose}:${username}`

function ownToken(env: Env, repo: string): { name: string; token: string } | undefined {
  // Only what is asked for by http or https has use for a token.
  if (!/^https?:\/\//i.test(repo) || repositoryHost(repo) === undefined) return undefined
  const hosts = setting(env, 'ERRAND_GIT_TOKEN_HOSTS')
  const isFor = hosts.length === 0 || isAtHosts(repo, hosts)
  const found = (isFor && ownTokens(env).find(({ name }) => name !== 'GITHUB_TOKEN')) || undefined
  if (found !== undefined) return found
  const token = isAtHosts(repo, ['github.com']) ? setting(env, 'GITHUB_TOKEN') : undefined
  return token === undefined ? undefined : { name: 'GITHUB_TOKEN', token }
}

/** This machine's own tokens of repositories, as they are now; the first counts before the next. */
export function ownTokens(env: Env): { name: string; token: string }[] {
  const given = (['GIT_TOKEN', 'GITHUB_TOKEN'] as const).map((name) => ({ name, token: setting(env, name) }))
  const [own, ofGithub] = given
  const all = [
    own!,
    { name: 'GIT_TOKEN_FILE', token: fileText(setting(env, 'GIT_TOKEN_FILE')) },
    { name: 'mounted', token: fileText(join(setting(env, 'ERRAND_SECRETS_DIR'), MOUNTED)) },
    ofGithub!,
  ]
  return all.flatMap(({ name, token }) => (token === undefined || token === '' ? [] : [{ name, token }]))
}

/** Undefined where there is none to be read: the step then says that it has no token. */
function fileText(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

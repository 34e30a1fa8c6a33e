import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RepositoryAddress } from '../../forge/address.ts'
import type { CallOptions, Forge } from '../../forge/forge.ts'
import { openForge, recogniseForge } from '../../forge/open-forge.ts'
import { givenToken } from '../../forge/token-source.ts'
import type { Secrets } from '../secrets.ts'
import { boundHint, TOKEN_SECRETS, type TokenNames, tokenNames } from '../tasks/repository-tokens.ts'
import type { AppTokens } from './app-tokens.ts'

/** Whose secrets a forge is asked with. */
export interface ForgeUser {
  tenant: string
  owner: string
}

/** The forge of a repository, with the token that runs of this user for it would be given. Throws as `recogniseForge` does. */
export type ForgeOf = (address: RepositoryAddress, user: ForgeUser, options?: CallOptions) => Promise<Forge>

export interface OpenForgesOptions {
  secrets: Pick<Secrets, 'valueSeen'>
  /** The forges that the hub's configuration names. */
  forges?: { forgeOf(host: string): ConfiguredForge | undefined }
  apps?: Pick<AppTokens, 'source'>
  /** Which secrets may be sent to the server of a repository. Default: those of `tokenNames` without hosts. */
  tokens?: TokenNames
  /** Reaches the servers that the hub may speak to; `api` is an address of its configuration. Absent: it speaks to all. */
  forgeFetch?(api: string | undefined): typeof globalThis.fetch
}

/** Somebody waits for the answer: a forge that is away, or wants to be left alone, is told soon. */
const PATIENCE = { retryCount: 1, timeoutMs: 15_000, mostWaitMs: 10_000 }

/** An App's, to read issues and pull requests, and to speak below them. */
const appRights: Readonly<Record<string, 'read' | 'write'>> = {
  contents: 'read',
  checks: 'read',
  statuses: 'read',
  issues: 'write',
  pull_requests: 'write',
}

function noKey(name: string): never {
  throw new ErrandError('secret_not_found', `The hub has no secret ${name}, the private key of its App.`, {
    hint: `Keep it there: errand secrets set ${name}`,
  })
}

export const openForges =
  ({ secrets, forges, apps, forgeFetch, tokens = tokenNames() }: OpenForgesOptions): ForgeOf =>
  async (address, user, options = {}) => {
    const { host, path } = address
    const said = forges?.forgeOf(host)
    const hosts = said === undefined ? [] : [said]
    const patience = { ...PATIENCE, fetch: forgeFetch?.(said?.api_url) }
    const { fetch, timeoutMs: probeTimeoutMs } = patience
    const found = await recogniseForge(address, { ...options, hosts, fetch, probeTimeoutMs })
    const seen = (names: readonly string[]) => secrets.valueSeen({ ...user, repository: path }, names)
    if (said?.app !== undefined && apps !== undefined) {
      const keyOf = async (name: string) => (await seen([name])) ?? noKey(name)
      const tokens = await apps.source({ host, repository: path }, appRights, keyOf)
      return openForge(found, path, { ...patience, tokens })
    }
    const names = said?.token === undefined ? tokens(`https://${host}/${path}`) : [said.token]
    const token = await seen(names)
    const forge = openForge(found, path, { ...patience, tokens: givenToken(token) })
    if (token !== undefined) return forge
    const others = TOKEN_SECRETS.filter((name) => !names.includes(name))
    return saying(forge, (await seen(others)) === undefined ? NO_TOKEN : boundHint(host))
  }

/** The same, with a hint that a token is missing where the forge shows nothing without one. */
function saying(forge: Forge, hint: string): Forge {
  return new Proxy(forge, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        const answer: unknown = value.apply(target, args)
        return answer instanceof Promise ? answer.catch((cause: unknown) => tellOfToken(cause, hint)) : answer
      }
    },
  })
}

const NO_TOKEN = 'The hub has no token for it. Keep one with: errand secrets set GIT_TOKEN'

function tellOfToken(cause: unknown, hint: string): never {
  if (!(cause instanceof ErrandError) || !['repo_not_found', 'repo_auth', 'not_found'].includes(cause.code))
    throw cause
  throw new ErrandError(cause.code, cause.message, {
    hint,
    details: cause.details,
    cause,
  })
}

import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RepositoryAddress } from '../../forge/address.ts'
import type { CallOptions, Forge } from '../../forge/forge.ts'
import { openForge, recogniseForge } from '../../forge/open-forge.ts'
import { givenToken } from '../../forge/token-source.ts'
import type { Secrets } from '../secrets.ts'
import { allowing, TOKEN_SECRETS } from '../tasks/repository-tokens.ts'
import type { AppTokens } from './app-tokens.ts'

/** Whose secrets a forge is asked with. */
export interface ForgeUser {
  tenant: string
  owner: string
}

/** The forge of a repository, with the token that runs of this user for it would be given. Throws as `recogniseForge` does. */
export type ForgeOf = (address: RepositoryAddress, user: ForgeUser, options?: CallOptions) => Promise<Forge>

export interface OpenForgesOptions {
  secrets: Pick<Secrets, 'valueSeen' | 'refusal'>
  /** The forges that the hub's configuration names. */
  forges?: { forgeOf(host: string): ConfiguredForge | undefined }
  apps?: Pick<AppTokens, 'source'>
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
  ({ secrets, forges, apps, forgeFetch }: OpenForgesOptions): ForgeOf =>
  async (address, user, options = {}) => {
    const { host, path } = address
    const said = forges?.forgeOf(host)
    const hosts = said === undefined ? [] : [said]
    const patience = { ...PATIENCE, fetch: forgeFetch?.(said?.api_url) }
    const { fetch, timeoutMs: probeTimeoutMs } = patience
    const found = await recogniseForge(address, { ...options, hosts, fetch, probeTimeoutMs })
    const of = { ...user, repository: path }
    if (said?.app !== undefined && apps !== undefined) {
      const keyOf = async (name: string) => (await secrets.valueSeen(of, [name])) ?? noKey(name)
      const tokens = await apps.source({ host, repository: path }, appRights, keyOf)
      return openForge(found, path, { ...patience, tokens })
    }
    const names = said?.token === undefined ? TOKEN_SECRETS : [said.token]
    const server = `https://${host}/${path}`
    const token = await secrets.valueSeen(of, names, server)
    const forge = openForge(found, path, { ...patience, tokens: givenToken(token) })
    if (token !== undefined) return forge
    const refusal = await secrets.refusal(of, names, server)
    const none = `The hub has no token for it. Keep one with: ${allowing({ name: names[0]! }, host)}`
    return saying(forge, refusal === undefined ? none : `${refusal.message} ${refusal.hint}`)
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

function tellOfToken(cause: unknown, hint: string): never {
  if (!(cause instanceof ErrandError) || !['repo_not_found', 'repo_auth', 'not_found'].includes(cause.code))
    throw cause
  throw new ErrandError(cause.code, cause.message, {
    hint,
    details: cause.details,
    cause,
  })
}

import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RepositoryAddress } from '../../forge/address.ts'
import type { CallOptions, Forge } from '../../forge/forge.ts'
import { PerhapsArrived, Refused } from '../../forge/forge-http.ts'
import { openForge, recogniseForge } from '../../forge/open-forge.ts'
import { givenToken } from '../../forge/token-source.ts'
import type { OutsideServices } from '../ops/outside-services.ts'
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
  /** How forges did. */
  outside?: Pick<OutsideServices, 'failed' | 'worked'>
  /** Of one request. Default 15,000. */
  timeoutMs?: number
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
  ({ secrets, forges, apps, forgeFetch, ...more }: OpenForgesOptions): ForgeOf =>
  async (address, user, options = {}) => {
    const { host, path } = address
    const said = forges?.forgeOf(host)
    const hosts = said === undefined ? [] : [said]
    const { outside, timeoutMs = PATIENCE.timeoutMs } = more
    const patience = { ...PATIENCE, timeoutMs, fetch: forgeFetch?.(said?.api_url) }
    const { fetch } = patience
    const tell = (error?: unknown) => {
      const service = { service: 'forge', address: host, tenant: user.tenant } as const
      if (error === undefined || hasAnswered(error)) outside?.worked(service)
      else if (isOutside(error)) outside?.failed(service, error)
    }
    const recognised = recogniseForge(address, { ...options, hosts, fetch, probeTimeoutMs: timeoutMs })
    const found = await recognised.catch((error) => {
      tell(error)
      throw error
    })
    const of = { ...user, repository: path }
    if (said?.app !== undefined && apps !== undefined) {
      const keyOf = async (name: string) => (await secrets.valueSeen(of, [name])) ?? noKey(name)
      const tokens = await apps.source({ host, repository: path }, appRights, keyOf)
      return watched(openForge(found, path, { ...patience, tokens }), tell)
    }
    const names = said?.token === undefined ? TOKEN_SECRETS : [said.token]
    const server = `https://${host}/${path}`
    const token = await secrets.valueSeen(of, names, server)
    const forge = watched(openForge(found, path, { ...patience, tokens: givenToken(token) }), tell)
    if (token !== undefined) return forge
    const refusal = await secrets.refusal(of, names, server)
    const none = `The hub has no token for it. Keep one with: ${allowing({ name: names[0]! }, host)}`
    return saying(forge, refusal === undefined ? none : `${refusal.message} ${refusal.hint}`)
  }

/** Whether it is away, or answers what no forge does. */
const isOutside = (error: unknown): boolean =>
  error instanceof ErrandError && ['forge_away', 'service_answer', 'host_unreachable'].includes(error.code)
/** Whether the forge has said no. */
const hasAnswered = (error: unknown): boolean => error instanceof Refused

/** The same; tells of each call how it went, with its error where it failed. */
const watched = (forge: Forge, tell: (error?: unknown) => void): Forge =>
  settling(forge, (answer) => {
    answer.then(
      () => tell(),
      (error) => tell(error instanceof PerhapsArrived ? error.problem : error),
    )
    return answer
  })

/** The same, with a hint that a token is missing where the forge shows nothing without one. */
function saying(forge: Forge, hint: string): Forge {
  return settling(forge, (answer) => answer.catch((cause: unknown) => tellOfToken(cause, hint)))
}

/** The same forge, whose answers go through `take`. */
function settling(forge: Forge, take: (answer: Promise<unknown>) => Promise<unknown>): Forge {
  return new Proxy(forge, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        const answer: unknown = value.apply(target, args)
        return answer instanceof Promise ? take(answer) : answer
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

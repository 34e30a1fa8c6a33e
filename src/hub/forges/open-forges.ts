import type { ConfiguredForge } from '../../config/config-file.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RepositoryAddress } from '../../forge/address.ts'
import type { CallOptions, Forge } from '../../forge/forge.ts'
import { PerhapsArrived, Refused } from '../../forge/forge-http.ts'
import { openForge, recogniseForge } from '../../forge/open-forge.ts'
import { fixedToken } from '../../forge/token-source.ts'
import type { OutsideServices } from '../ops/outside-services.ts'
import type { Secrets } from '../secrets.ts'
import { allowing, TOKEN_SECRETS } from '../tasks/repository-tokens.ts'
import type { AppTokens } from './app-tokens.ts'

/** The user whose secrets are used for requests to a forge. */
export interface ForgeUser {
  tenant: string
  owner: string
}

/**
 * Opens the forge of a repository, with the token that runs of this user would get for it. Throws as `recogniseForge`
 * does.
 */
export type ForgeOf = (address: RepositoryAddress, user: ForgeUser, options?: CallOptions) => Promise<Forge>

export interface OpenForgesOptions {
  secrets: Pick<Secrets, 'valueSeen' | 'refusal'>
  /** Forges that the hub's configuration names. */
  forges?: { forgeOf(host: string): ConfiguredForge | undefined }
  apps?: Pick<AppTokens, 'source'>
  /**
   * Returns a fetch that reaches only servers the hub may speak to; `api` is an address of its configuration. If
   * absent, every server is allowed.
   */
  forgeFetch?(api: string | undefined): typeof globalThis.fetch
  /** Notes which calls to forges worked and which failed. */
  outside?: Pick<OutsideServices, 'failed' | 'worked'>
  /** Milliseconds that one request may take. Default 15,000. */
  timeoutMs?: number
}

/** Somebody waits for the answer, so a forge that is unreachable or rate limits is reported soon. */
const RETRY_LIMITS = { retryCount: 1, timeoutMs: 15_000, mostWaitMs: 10_000 }

/** Permissions of an App for reading issues and pull requests and commenting on them. */
const appRights: Readonly<Record<string, 'read' | 'write'>> = {
  contents: 'read',
  checks: 'read',
  statuses: 'read',
  issues: 'write',
  pull_requests: 'write',
}

function noKey(name: string): never {
  throw new ErrandError('secret_not_found', `The hub has no secret ${name}, the private key of its App.`, {
    hint: `Set it with: errand secrets set ${name}`,
  })
}

export const openForges =
  ({ secrets, forges, apps, forgeFetch, ...more }: OpenForgesOptions): ForgeOf =>
  async (address, user, options = {}) => {
    const { host, path } = address
    const configured = forges?.forgeOf(host)
    const hosts = configured === undefined ? [] : [configured]
    const { outside, timeoutMs = RETRY_LIMITS.timeoutMs } = more
    const limits = { ...RETRY_LIMITS, timeoutMs, fetch: forgeFetch?.(configured?.api_url) }
    const { fetch } = limits
    const report = (error?: unknown) => {
      const service = { service: 'forge', address: host, tenant: user.tenant } as const
      if (error === undefined || hasAnswered(error)) outside?.worked(service)
      else if (isOutside(error)) outside?.failed(service, error)
    }
    const recognised = recogniseForge(address, { ...options, hosts, fetch, probeTimeoutMs: timeoutMs })
    const found = await recognised.catch((error) => {
      report(error)
      throw error
    })
    const of = { ...user, repository: path }
    if (configured?.app !== undefined && apps !== undefined) {
      const keyOf = async (name: string) => (await secrets.valueSeen(of, [name])) ?? noKey(name)
      const tokens = await apps.source({ host, repository: path }, appRights, keyOf)
      return watched(openForge(found, path, { ...limits, tokens }), report)
    }
    const names = configured?.token === undefined ? TOKEN_SECRETS : [configured.token]
    const server = `https://${host}/${path}`
    const token = await secrets.valueSeen(of, names, server)
    const forge = watched(openForge(found, path, { ...limits, tokens: fixedToken(token) }), report)
    if (token !== undefined) return forge
    const refusal = await secrets.refusal(of, names, server)
    const none = `The hub has no token for it. Set one with: ${allowing({ name: names[0]! }, host)}`
    return saying(forge, refusal === undefined ? none : `${refusal.message} ${refusal.hint}`)
  }

/** Reports whether the forge is unreachable, or answers what no forge would. */
const isOutside = (error: unknown): boolean =>
  error instanceof ErrandError && ['forge_away', 'service_answer', 'host_unreachable'].includes(error.code)
/** Reports whether the forge has refused. */
const hasAnswered = (error: unknown): boolean => error instanceof Refused

/** Wraps a forge and reports how each call went, with its error if it failed. */
const watched = (forge: Forge, report: (error?: unknown) => void): Forge =>
  settling(forge, (answer) => {
    answer.then(
      () => report(),
      (error) => report(error instanceof PerhapsArrived ? error.problem : error),
    )
    return answer
  })

/** Wraps a forge and hints at a missing token if it shows nothing without one. */
function saying(forge: Forge, hint: string): Forge {
  return settling(forge, (answer) => answer.catch((cause: unknown) => throwTokenError(cause, hint)))
}

/** Wraps a forge so that its answers go through `take`. */
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

function throwTokenError(cause: unknown, hint: string): never {
  if (!(cause instanceof ErrandError) || !['repo_not_found', 'repo_auth', 'not_found'].includes(cause.code))
    throw cause
  throw new ErrandError(cause.code, cause.message, {
    hint,
    details: cause.details,
    cause,
  })
}

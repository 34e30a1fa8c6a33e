import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Permission } from '../../../contract/account-api.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { Route } from '../../../contract/routes/route.ts'
import type { RunRecord } from '../../../contract/run.ts'
import type { EngineFace } from '../../../engine/api.ts'
import { isApprover, shareOf } from '../../approvals/approvers.ts'
import type { Auth, Identity } from '../../auth/auth.ts'
import { DEFAULT_TENANT } from '../../auth/tokens.ts'
import type { ApiApp } from '../api-context.ts'
import { checkOrigin, cookieToken } from './session-cookie.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set but on public routes, and those for runners. */
    identity: Identity
    /** The identity is that of the cookie, and the request comes from a page of the hub's own. */
    byCookie: boolean
    /** The address that the request comes from, where proxies that are trusted say so: theirs does not count. */
    caller: string
    /** Set on routes for runners: whose runner asks. */
    runnerTenant: string
  }
  interface FastifyContextConfig {
    /** Every route that is served is one of the table. */
    route?: Route
  }
}

export interface AccessRules {
  auth: Auth
  /** Names under which a proxy on this machine passes people on. */
  hosts: readonly string[]
  /** Who is on this machine reads the hub's figures without a token. */
  openMetrics: boolean
}

/** Before anything of a request is looked at: who it is, and whether that is enough. */
export function guard(app: ApiApp, rules: AccessRules): void {
  app.decorateRequest('identity', null as unknown as Identity)
  app.decorateRequest('runnerTenant', '')
  app.decorateRequest('byCookie', false)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff').header('referrer-policy', 'no-referrer')
    if (request.is404) return
    const { who, anyHost } = request.routeOptions.config.route!
    if (who === 'metrics') {
      if (!rules.openMetrics || !isLocal(request))
        request.identity = await rules.auth.authenticate(bearer(request), 'metrics')
    } else if (who === 'runner') request.runnerTenant = await runnerTenant(rules.auth, bearer(request))
    else if (who !== 'anyone') await identify(request, rules)
    else if (!anyHost && !isSafeHost(request.headers.host, request.socket.localAddress, rules.hosts))
      throw new ErrandError(
        'forbidden',
        `This hub does not answer to the name "${request.headers.host}" here.`,
        {
          hint: 'Use its address, or start the hub with the name in ERRAND_HOST_ALLOW; with a token neither is needed.',
        },
      )
  })
  // By now it is known whether the request is one: what is wrong with it is told to anybody who has a token.
  app.addHook('preHandler', async ({ identity, routeOptions }) => {
    const { who, makes } = routeOptions.config.route ?? {}
    if (who === 'admin') needAdmin(identity)
    if (makes !== undefined) needPermission(identity, makes)
  })
}

/** By the token that was sent, else by the cookie: a page of another origin could have a browser send that one. */
async function identify(request: FastifyRequest, { auth, hosts }: AccessRules): Promise<void> {
  const token = bearer(request)
  const cookie = token === undefined ? cookieToken(request) : undefined
  request.identity = await auth.authenticate(token ?? cookie)
  if (cookie === undefined) return
  request.byCookie = true
  checkOrigin(request, hosts)
  const { session } = request.identity
  if (request.method === 'GET' || request.method === 'HEAD') return
  const csrf = request.headers['x-errand-csrf']
  if (session !== undefined && typeof csrf === 'string' && auth.isCsrfOf(session, csrf)) return
  throw new ErrandError('forbidden', 'This request came by cookie without the right "x-errand-csrf".', {
    hint: 'GET /api/me answers it. A program sends a token instead.',
  })
}

async function runnerTenant(auth: Auth, token: string | undefined): Promise<string> {
  const runner = await auth.authenticateRunner(token)
  if ('tenant' in runner) return runner.tenant
  throw new ErrandError('unauthorized', runner.refused, { hint: 'Only runners read this.' })
}

/** Whether the request comes from this machine, and was passed on by no proxy. */
function isLocal({ headers, socket }: FastifyRequest): boolean {
  const { remoteAddress = '', localAddress } = socket
  const loopback = /^(::ffff:)?127\.|^::1$/.test(remoteAddress)
  const passedOn = headers.forwarded !== undefined || headers['x-forwarded-for'] !== undefined
  return loopback && !passedOn && isSafeHost(headers.host, localAddress, [])
}

/** The token of a request, wherever this route takes it from. */
export function bearer(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization
  if (header !== undefined) {
    const [, token] = /^Bearer +(\S+) *$/i.exec(header) ?? []
    if (token === undefined)
      throw new ErrandError('unauthorized', 'The Authorization header is not of the form "Bearer <token>".', {
        hint: 'Send "Authorization: Bearer <token>".',
      })
    return token
  }
  const tokenIn = request.routeOptions.config.route?.tokenIn
  const client = request.headers['x-client-token']
  if (tokenIn === 'x-client-token' && typeof client === 'string') return client
  if (tokenIn !== 'query') return undefined
  const { access_token } = request.query as { access_token?: unknown }
  return typeof access_token === 'string' ? access_token : undefined
}

export const isAdmin = ({ user }: Identity): boolean => user.role === 'admin'

export function needAdmin(identity: Identity): void {
  if (!isAdmin(identity))
    throw new ErrandError('forbidden', `Only an admin may do this; "${identity.user.name}" is none.`, {
      hint: 'Ask an admin.',
    })
}

/** Whether it is a log-in by password, or that of the hub's own machine. */
export const isLogin = ({ token }: Identity): boolean => token === undefined || token.as_login === true

/** Throws `forbidden` for a token that was made without this permission. */
function needPermission(identity: Identity, permission: Permission): void {
  const { token } = identity
  if (isLogin(identity) || token?.allow?.includes(permission)) return
  throw new ErrandError(
    'forbidden',
    `The token "${token!.name}" was made without the permission "${permission}", which this needs.`,
    {
      hint: `Log in (errand login), or use a token that may: errand tokens create NAME --allow ${permission}`,
      details: { permission },
    },
  )
}

/** Throws `forbidden` for whoever is no operator of the hub. */
export function needOperator({ user }: Identity, what: string): void {
  if (user.tenant !== DEFAULT_TENANT)
    throw new ErrandError('forbidden', `${what} for the admins of the hub's first tenant.`, {
      hint: `Ask an admin of the tenant "${DEFAULT_TENANT}".`,
    })
}

/**
 * Returns the id of a run whose client has chosen one. Ids are those of the whole hub: outside the first tenant the tenant's
 * tag follows, so that nobody learns from an answer which ids others have taken.
 */
export const chosenRunId = ({ idTag }: Identity, given: string | undefined): string | undefined =>
  given === undefined || idTag === undefined ? given : `${given}-${idTag}`

/**
 * A run to read: as `visibleRun`, also for those whom a step of it names as one who may answer it, and those with whom it
 * is shared.
 */
export async function readableRun(engine: EngineFace, identity: Identity, runId: string): Promise<RunRecord> {
  const record = await engine.get(runId)
  const { user } = identity
  if (record === undefined || record.tenant !== user.tenant) throw noRun(runId)
  if (mayChange(identity, record) || isApprover(record, user) || shareOf(record, user)) return record
  throw noRun(runId)
}

/** A run whose agent is to be prompted or answered: as `visibleRun`, also for those with whom it is shared to take part. */
export async function sharedRun(engine: EngineFace, identity: Identity, runId: string): Promise<RunRecord> {
  const record = await engine.get(runId)
  const { user } = identity
  if (record?.tenant === user.tenant && shareOf(record, user) === 'take-part') return record
  return await visibleRun(engine, identity, runId)
}

/**
 * A run to change. Throws `run_not_found`, also where the run is another's: who may not see it does not learn that it exists;
 * and `forbidden` for those with whom it is shared.
 */
export async function visibleRun(engine: EngineFace, identity: Identity, runId: string): Promise<RunRecord> {
  const record = await engine.get(runId)
  const { user } = identity
  if (record === undefined || record.tenant !== user.tenant) throw noRun(runId)
  if (mayChange(identity, record)) return record
  const can = shareOf(record, user)
  if (can === undefined) throw noRun(runId)
  const may = can === 'watch' ? 'watch it' : 'prompt and answer its agent'
  throw new ErrandError('forbidden', `Run ${runId} is ${record.owner}'s; you may ${may}, and no more.`, {
    hint:
      can === 'watch'
        ? `To take part ask ${record.owner}: errand sessions share ${runId} --with ${user.name} --can take-part`
        : `Ask ${record.owner}, or an admin, to do it.`,
    details: { owner: record.owner, can },
  })
}

const noRun = (runId: string): ErrandError =>
  new ErrandError('run_not_found', `There is no run "${runId}".`, {
    hint: 'List yours with: errand runs list',
  })

const mayChange = (identity: Identity, record: RunRecord): boolean =>
  isAdmin(identity) || record.owner === identity.user.name

/**
 * Whether a `Host` header cannot come from DNS rebinding: a web page whose own name was made to point at this
 * machine, so that its scripts count as of the same origin. Such a page sends its own name; an address or
 * `localhost` is no page's name, and one that came in from another machine met the hub where it was put on purpose.
 */
function isSafeHost(
  header: string | undefined,
  localAddress: string | undefined,
  allowed: readonly string[],
): boolean {
  if (header === undefined) return true
  if (localAddress === undefined || !isLoopback(localAddress)) return true
  const name = header
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase()
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || allowed.includes(name)
}

const isLoopback = (address: string): boolean => /^(::ffff:)?127\.|^::1$/.test(address)

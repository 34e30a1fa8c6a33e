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
    /** Set except on public routes and on routes for runners. */
    identity: Identity
    /** True if the identity is that of the cookie and the request comes from a page of the hub itself. */
    byCookie: boolean
    /** Address that the request comes from. If trusted proxies name it, their own address does not count. */
    caller: string
    /** Set on routes for runners: the tenant of the runner that asks. */
    runnerTenant: string
  }
  interface FastifyContextConfig {
    /** The route's entry in the table; every served route has one. */
    route?: Route
  }
}

export interface AccessRules {
  auth: Auth
  /** Names under which a proxy on this machine passes requests on. */
  hosts: readonly string[]
  /** True if requests from this machine may read the hub's metrics without a token. */
  openMetrics: boolean
}

/** Checks who sends a request, and whether that person may use the route, before anything else of it is looked at. */
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
        `This hub does not accept the host name "${request.headers.host}" on this route.`,
        {
          hint: 'Use the address of the hub, or add the name to ERRAND_HOST_ALLOW and restart the hub. Routes that require a token accept any name.',
        },
      )
  })
  // The request has been validated by now. Anybody with a token may learn what is wrong with it.
  app.addHook('preHandler', async ({ identity, routeOptions }) => {
    const { who, makes } = routeOptions.config.route ?? {}
    if (who === 'admin') needAdmin(identity)
    if (makes !== undefined) needPermission(identity, makes)
  })
}

/** Identifies the sender by token, or else by cookie. A page of another origin could make a browser send the cookie. */
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
  throw new ErrandError(
    'forbidden',
    'This request was sent with a cookie but without the right "x-errand-csrf" header.',
    {
      hint: 'Get the value from GET /api/me. Programs: send a token instead.',
    },
  )
}

async function runnerTenant(auth: Auth, token: string | undefined): Promise<string> {
  const runner = await auth.authenticateRunner(token)
  if ('tenant' in runner) return runner.tenant
  throw new ErrandError('unauthorized', runner.refused, { hint: 'Only runners may use this route.' })
}

/** Reports whether the request comes from this machine and no proxy passed it on. */
function isLocal({ headers, socket }: FastifyRequest): boolean {
  const { remoteAddress = '', localAddress } = socket
  const loopback = /^(::ffff:)?127\.|^::1$/.test(remoteAddress)
  const passedOn = headers.forwarded !== undefined || headers['x-forwarded-for'] !== undefined
  return loopback && !passedOn && isSafeHost(headers.host, localAddress, [])
}

/** Returns the token of a request, wherever this route takes it from. */
export function bearer(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization
  if (header !== undefined) {
    const [, token] = /^Bearer +(\S+) *$/i.exec(header) ?? []
    if (token === undefined)
      throw new ErrandError(
        'unauthorized',
        'The Authorization header does not have the form "Bearer <token>".',
        {
          hint: 'Send "Authorization: Bearer <token>".',
        },
      )
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
    throw new ErrandError(
      'forbidden',
      `Only an admin may do this, and "${identity.user.name}" is not an admin.`,
      {
        hint: 'Ask an admin.',
      },
    )
}

/** Reports whether the identity is a log-in by password, or that of the hub's own machine. */
export const isLogin = ({ token }: Identity): boolean => token === undefined || token.as_login === true

/** Throws `forbidden` for a token that was made without this permission. */
function needPermission(identity: Identity, permission: Permission): void {
  const { token } = identity
  if (isLogin(identity) || token?.allow?.includes(permission)) return
  throw new ErrandError(
    'forbidden',
    `The token "${token!.name}" does not have the permission "${permission}", which this request requires.`,
    {
      hint: `Log in (errand login), or use a token that has it: errand tokens create NAME --allow ${permission}`,
      details: { permission },
    },
  )
}

/** Throws `forbidden` unless the user is an operator of the hub. */
export function needOperator({ user }: Identity, what: string): void {
  if (user.tenant !== DEFAULT_TENANT)
    throw new ErrandError('forbidden', `Only admins of the hub's first tenant may ${what}.`, {
      hint: `Ask an admin of the tenant "${DEFAULT_TENANT}".`,
    })
}

/**
 * Returns the id of a run whose client has chosen one. Ids are unique in the whole hub, so outside the first tenant
 * the tenant's tag is appended. No answer then reveals which ids others have taken.
 */
export const chosenRunId = ({ idTag }: Identity, requested: string | undefined): string | undefined =>
  requested === undefined || idTag === undefined ? requested : `${requested}-${idTag}`

/**
 * Returns a run that the sender may read. Allows everybody that `visibleRun` allows, those whom a step names as able
 * to answer it, and those with whom it is shared.
 */
export async function readableRun(engine: EngineFace, identity: Identity, runId: string): Promise<RunRecord> {
  const record = await engine.get(runId)
  const { user } = identity
  if (record === undefined || record.tenant !== user.tenant) throw noRun(runId)
  if (mayChange(identity, record) || isApprover(record, user) || shareOf(record, user)) return record
  throw noRun(runId)
}

/**
 * Returns a run whose agent the sender may prompt or answer. Allows everybody that `visibleRun` allows and those with
 * whom it is shared to take part.
 */
export async function sharedRun(engine: EngineFace, identity: Identity, runId: string): Promise<RunRecord> {
  const record = await engine.get(runId)
  const { user } = identity
  if (record?.tenant === user.tenant && shareOf(record, user) === 'take-part') return record
  return await visibleRun(engine, identity, runId)
}

/**
 * Returns a run that the sender may change. Throws `run_not_found` also for somebody else's run, so that others do
 * not learn that it exists. Throws `forbidden` for those with whom it is shared.
 */
export async function visibleRun(engine: EngineFace, identity: Identity, runId: string): Promise<RunRecord> {
  const record = await engine.get(runId)
  const { user } = identity
  if (record === undefined || record.tenant !== user.tenant) throw noRun(runId)
  if (mayChange(identity, record)) return record
  const can = shareOf(record, user)
  if (can === undefined) throw noRun(runId)
  const may = can === 'watch' ? 'watch it' : 'prompt and answer its agent'
  throw new ErrandError('forbidden', `Run ${runId} belongs to ${record.owner}; you may only ${may}.`, {
    hint:
      can === 'watch'
        ? `To take part, ask ${record.owner} to run: errand sessions share ${runId} --with ${user.name} --can take-part`
        : `Ask ${record.owner}, or an admin, to do it.`,
    details: { owner: record.owner, can },
  })
}

const noRun = (runId: string): ErrandError =>
  new ErrandError('run_not_found', `Run "${runId}" not found.`, {
    hint: 'List runs with: errand runs list',
  })

const mayChange = (identity: Identity, record: RunRecord): boolean =>
  isAdmin(identity) || record.owner === identity.user.name

/**
 * Reports whether a `Host` header cannot come from DNS rebinding. In that attack, a web page makes its own name point
 * to this machine, so that its scripts count as same-origin. Such a page sends its own name, and an address or
 * `localhost` cannot be one. A request from another machine reached an address that the hub was meant to listen on.
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

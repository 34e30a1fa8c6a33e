import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  API_TOKEN_SECONDS,
  type LoginAnswer,
  type TokenStatus,
  type TokenView,
  type UserView,
} from '../../contract/account-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { NewToken, Token, User } from '../../stores/accounts.ts'
import type { Auth, Identity } from '../auth/auth.ts'
import { boundToMaker, DEFAULT_TENANT, newId, newTokenText, tokenSha256 } from '../auth/tokens.ts'
import type { ApiContext } from './api-context.ts'
import { isAdmin, isLogin, needAdmin } from './http/access.ts'
import type { Handlers } from './http/routes.ts'
import { browserCookie, browserMark, checkOrigin, sessionCookie } from './http/session-cookie.ts'

/** Limits the admins that are named to a user of their tenant. */
const MOST_ADMINS = 10

const userView = ({ id, name, role, tenant, disabled, created_at }: User): UserView => ({
  id,
  name,
  role,
  tenant,
  disabled,
  created_at,
})

export function userHandlers({ accounts, auth, bots, engine, secrets, ownRunner }: ApiContext) {
  return {
    'GET /api/users': async ({ identity, query: { name, role, status } }) => {
      const all = (await accounts.users({ tenant: identity.user.tenant })).map(userView)
      const fits = (user: UserView): boolean =>
        (name ?? user.name) === user.name &&
        (role ?? user.role) === user.role &&
        (status === undefined || (status === 'disabled') === user.disabled)
      return { users: all.filter(fits) }
    },

    'POST /api/users': async ({ identity, body }) => {
      if (body.role === 'admin') needLogin(identity, 'Creating an admin')
      const { tenant = identity.user.tenant } = body
      if (tenant !== identity.user.tenant && identity.user.tenant !== DEFAULT_TENANT)
        throw new ErrandError(
          'forbidden',
          `Only admins of the tenant "${DEFAULT_TENANT}" may create users of another tenant.`,
          { hint: 'Ask one of these admins.' },
        )
      // Runs name their owner: whoever has the name sees them.
      if ((await engine.list({ owner: body.name, tenant, limit: 1 })).runs.length > 0)
        if ((await accounts.userByName({ tenant, name: body.name })) === undefined)
          throw new ErrandError(
            'conflict',
            `The name "${body.name}" belonged to someone who still has runs here.`,
            {
              hint: 'Choose another name, so that the new user does not see these runs.',
            },
          )
      const user: User = {
        id: newId('user'),
        name: body.name,
        role: body.role,
        tenant,
        password_hash: await auth.passwords.hash(body.password),
        created_at: new Date().toISOString(),
        disabled: false,
      }
      await accounts.createUser(user)
      return { ...userView(user), warnings: ownRunner ? separationWarnings(user) : [] }
    },

    'PATCH /api/users/:id': async ({ identity, params, body }) => {
      const user = await sameTenant(identity, params.id)
      if (user.role === 'admin' || body.role === 'admin') needLogin(identity, 'Creating or changing an admin')
      if (body.disabled === true || body.role === 'user') notYourself(identity, user)
      const { password, ...rest } = body
      const patch =
        password === undefined ? rest : { ...rest, password_hash: await auth.passwords.hash(password) }
      const changed = await accounts.updateUser(user.id, patch)
      auth.changed()
      return userView(changed)
    },

    'POST /api/users/:id/logout': async ({ identity, params }) => {
      const user = await sameTenant(identity, params.id)
      if (user.role === 'admin') needLogin(identity, 'Logging out an admin')
      await accounts.deleteSessionsOf(user.id)
      auth.changed()
    },

    'DELETE /api/users/:id': async ({ identity, params }) => {
      const user = await sameTenant(identity, params.id)
      if (user.role === 'admin') needLogin(identity, 'Removing an admin')
      notYourself(identity, user)
      const { tenant, name: owner } = user
      const { data } = await bots.data.list({ tenant, owner })
      if (data.length > 0)
        // These are stored by name: the next person with the name would get them.
        throw new ErrandError(
          'conflict',
          `User "${owner}" still has data of bots: ${data.map(({ bot_id }) => bot_id).join(', ')}.`,
          {
            hint: `Export what is still needed, then remove the data: errand bot data remove ${data[0]!.bot_id} --owner ${owner}`,
            details: { bots: data.map(({ bot_id }) => bot_id) },
          },
        )
      await accounts.deleteUser(user.id)
      await secrets.dropOfUser({ tenant: user.tenant, owner: user.name })
      auth.changed()
    },
  } satisfies Partial<Handlers>

  async function sameTenant(identity: Identity, id: string): Promise<User> {
    const user = await accounts.user(id)
    if (user === undefined || user.tenant !== identity.user.tenant)
      throw new ErrandError('not_found', `User with the id "${id}" not found.`, {
        hint: 'List users with: errand users list',
      })
    return user
  }
}

/** Warns that work is not separated: the hub's own runner is in the first tenant. */
const separationWarnings = ({ name, role, tenant }: User): string[] =>
  role === 'admin' || tenant !== DEFAULT_TENANT
    ? []
    : [
        `Steps and agents of "${name}" can read this hub's files, including its admin token: the hub's own runner executes them as the hub's user. If you trust some users less than an admin, start the hub with --no-runner, and start runners as another user or on other machines.`,
      ]

/** Throws `forbidden` for a token, whatever its permissions: whoever has a token must not get more rights with it. */
function needLogin(identity: Identity, what: string): void {
  if (!isLogin(identity))
    throw new ErrandError(
      'forbidden',
      `${what} requires a log-in, but this request was sent with the token "${identity.token!.name}".`,
      {
        hint: 'Log in with: errand login',
      },
    )
}

/** Refuses to change one's own user, so that there is always an admin left. */
function notYourself(identity: Identity, user: User): void {
  if (user.id === identity.user.id)
    throw new ErrandError('conflict', 'You cannot remove your own access.', {
      hint: 'Ask another admin to do it.',
    })
}

export function loginHandlers({ accounts, auth, page, hosts, version }: ApiContext) {
  return {
    'POST /api/auth/login': async (request, reply) => {
      reply.header('cache-control', 'no-store')
      if (request.body.cookie) checkOrigin(request, hosts)
      const login = await auth.login(request.body, request.caller, browserMark(request))
      return request.body.cookie ? byCookie(login, request, reply) : byToken(login, reply)
    },

    'POST /api/auth/logout': async (request, reply) => {
      await auth.logout(request.identity, request.body.everywhere)
      if (request.byCookie) reply.header('set-cookie', sessionCookie(request, { page }))
    },

    'GET /api/me': ({ identity: { user, token, session } }, reply) => {
      reply.header('cache-control', 'no-store')
      return {
        ...userView(user),
        expires_at: (token ?? session)?.expires_at,
        csrf: session && auth.csrfOf(session),
        version,
        now: new Date().toISOString(),
      }
    },

    'GET /api/me/admins': async ({ identity: { user } }) => {
      const users = await accounts.users({ tenant: user.tenant })
      const admins = users
        .filter(({ role, disabled }) => role === 'admin' && !disabled)
        .map(({ name }) => name)
      return { tenant: user.tenant, admins: admins.slice(0, MOST_ADMINS), more: admins.length > MOST_ADMINS }
    },

    'POST /api/auth/password': async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const login = await auth.changePassword(request.identity.user, request.body)
      return request.byCookie ? byCookie(login, request, reply) : byToken(login, reply)
    },

    'GET /api/auth/me': ({ identity: { user, token, session } }) => ({
      ...userView(user),
      expires_at: (token ?? session)?.expires_at,
    }),
  } satisfies Partial<Handlers>

  /** Answers with the session only in the cookie, so that no script of a page can read it. */
  function byCookie(
    { token, expires_at, user, session, browser }: Omit<Login, 'browser'> & Partial<Login>,
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    const cookies = [sessionCookie(request, { token, expires_at, page })]
    if (browser !== undefined) cookies.push(browserCookie(request, { mark: browser, page }))
    reply.code(201).header('set-cookie', cookies)
    return { user: userView(user), expires_at, csrf: auth.csrfOf(session) }
  }
}

type Login = Awaited<ReturnType<Auth['login']>>

function byToken(login: Omit<Login, 'browser'>, reply: FastifyReply): LoginAnswer {
  reply.code(200)
  return loginAnswer(login)
}

const loginAnswer = ({ token, expires_at, user }: Omit<Login, 'browser'>): LoginAnswer => ({
  token,
  expires_at,
  access_token: token,
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.round((Date.parse(expires_at) - Date.now()) / 1000)),
  user: { ...userView(user), username: user.name },
})

function statusOf({ revoked_at, used_at, expires_at }: Token): TokenStatus {
  if (revoked_at !== undefined) return 'revoked'
  if (used_at !== undefined) return 'used'
  return expires_at !== undefined && Date.parse(expires_at) <= Date.now() ? 'expired' : 'good'
}

const tokenView = (token: Token, user: string): TokenView => ({
  id: token.id,
  name: token.name,
  scope: token.scope,
  status: statusOf(token),
  user,
  group: token.group,
  allow: token.allow && [...token.allow],
  made_by: token.made_by,
  runner_id: token.runner_id,
  created_at: token.created_at,
  last_used_at: token.last_used_at,
  used_at: token.used_at,
  expires_at: token.expires_at,
  revoked_at: token.revoked_at,
})

export function tokenHandlers({ accounts, auth }: ApiContext) {
  return {
    'GET /api/tokens': async ({ identity, query }) => {
      const { user } = identity
      const users: User[] = isAdmin(identity) ? await accounts.users({ tenant: user.tenant }) : [user]
      const names = new Map(users.map(({ id, name }) => [id, name]))
      const tokens = await accounts.tokens(isAdmin(identity) ? { tenant: user.tenant } : { user_id: user.id })
      const all = tokens.map((token) =>
        tokenView(token, names.get(token.user_id ?? '') ?? token.created_by ?? ''),
      )
      const filters = ['name', 'scope', 'status', 'user'] as const
      return {
        tokens: all.filter((token) => filters.every((key) => (query[key] ?? token[key]) === token[key])),
      }
    },

    'POST /api/tokens': async ({ identity, body }, reply) => {
      // A runner gets everybody's work, and the metrics cover everything that the hub does.
      if (body.scope !== 'api') needAdmin(identity)
      if (body.scope !== 'runner' && body.group !== undefined)
        throw new ErrandError('bad_request', 'body.group: only a runner token has a group.', {
          hint: 'Leave it out, or create a token with the scope "runner".',
        })
      const allow = [...new Set(body.allow)]
      if (body.scope !== 'api' && allow.length > 0)
        throw new ErrandError('bad_request', 'body.allow: only an API token has permissions.', {
          hint: 'Leave it out, or create a token with the scope "api".',
        })
      const maker = identity.token
      const more = isLogin(identity) ? [] : allow.filter((one) => !maker?.allow?.includes(one))
      if (more.length > 0)
        throw new ErrandError(
          'forbidden',
          `The token "${maker!.name}" cannot grant a permission that it does not have: ${more.join(', ')}.`,
          { hint: 'Log in with: errand login', details: { permission: more[0] } },
        )
      const text = newTokenText(body.scope)
      const nowMs = Date.now()
      const { expires_in_seconds = body.scope === 'api' ? API_TOKEN_SECONDS : null } = body
      const token: NewToken = {
        id: newId('token'),
        name: body.name,
        user_id: identity.user.id,
        scope: body.scope,
        token_sha256: tokenSha256(text),
        created_at: new Date(nowMs).toISOString(),
        ...boundToMaker(
          maker,
          expires_in_seconds === null ? undefined : new Date(nowMs + expires_in_seconds * 1000).toISOString(),
        ),
        allow: allow.length > 0 ? allow : undefined,
        group: body.group,
      }
      await accounts.createToken(token)
      reply.header('cache-control', 'no-store')
      return { ...tokenView(token, identity.user.name), token: text }
    },

    'DELETE /api/tokens/:id': async ({ identity, params }) => {
      const token = await accounts.token(params.id)
      const owner = token?.user_id === undefined ? undefined : await accounts.user(token.user_id)
      const theirs = isAdmin(identity)
        ? (owner?.tenant ?? token?.tenant) === identity.user.tenant
        : owner?.id === identity.user.id
      if (token === undefined || !theirs)
        throw new ErrandError('not_found', `Token with the id "${params.id}" not found.`, {
          hint: 'List tokens with: errand tokens list',
        })
      await accounts.revokeToken(token.id, new Date().toISOString())
      auth.changed()
    },
  } satisfies Partial<Handlers>
}

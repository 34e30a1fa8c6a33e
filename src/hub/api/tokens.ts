import { ErrandError } from '../../contract/errors.ts'
import { API_TOKEN_SECONDS, type TokenStatus, type TokenView } from '../../contract/token-api.ts'
import { newId } from '../auth/account-id.ts'
import { newTokenText, tokenSha256 } from '../auth/token-text.ts'
import type { NewToken, Token, User } from '../store/accounts.ts'
import { isAdmin, needAdmin } from './access.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

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
      const asked = ['name', 'scope', 'status', 'user'] as const
      return {
        tokens: all.filter((token) => asked.every((key) => (query[key] ?? token[key]) === token[key])),
      }
    },

    'POST /api/tokens': async ({ identity, body }, reply) => {
      // A runner is handed everybody's work, and the figures are of all that the hub does.
      if (body.scope !== 'api') needAdmin(identity)
      if (body.scope !== 'runner' && body.group !== undefined)
        throw new ErrandError('bad_request', 'body.group: only a runner token has a group.', {
          hint: 'Leave it out, or make a token of the scope "runner".',
        })
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
        expires_at:
          expires_in_seconds === null ? undefined : new Date(nowMs + expires_in_seconds * 1000).toISOString(),
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
        throw new ErrandError('not_found', `There is no token with the id "${params.id}".`, {
          hint: 'List them with: errand tokens list',
        })
      await accounts.revokeToken(token.id, new Date().toISOString())
      auth.changed()
    },
  } satisfies Partial<Handlers>
}

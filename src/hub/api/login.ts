import type { LoginAnswer } from '../../contract/account-api.ts'
import type { Auth } from '../auth/auth.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'
import { userView } from './users.ts'

export function loginHandlers({ auth }: ApiContext) {
  return {
    'POST /api/auth/login': async (request, reply) => {
      reply.header('cache-control', 'no-store')
      return loginAnswer(await auth.login(request.body, request.ip))
    },

    'POST /api/auth/logout': async ({ identity }) => {
      await auth.logout(identity)
    },

    'POST /api/auth/password': async ({ identity, body, ip }, reply) => {
      reply.header('cache-control', 'no-store')
      return loginAnswer(await auth.changePassword(identity.user, body, ip))
    },

    'GET /api/auth/me': ({ identity: { user, token, session } }) => ({
      ...userView(user),
      expires_at: (token ?? session)?.expires_at,
    }),
  } satisfies Partial<Handlers>
}

const loginAnswer = ({ token, expires_at, user }: Awaited<ReturnType<Auth['login']>>): LoginAnswer => ({
  token,
  expires_at,
  access_token: token,
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.round((Date.parse(expires_at) - Date.now()) / 1000)),
  user: { ...userView(user), username: user.name },
})

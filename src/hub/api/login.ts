import * as z from 'zod'
import { ChangePassword, LoginAnswer, LoginRequest, Me } from '../../contract/account-api.ts'
import type { Auth } from '../auth/auth.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { userView } from './users.ts'

const tags = ['accounts']

export function loginRoutes(app: ApiApp, { auth }: ApiContext): void {
  app.post(
    '/api/auth/login',
    {
      config: { public: true },
      schema: {
        tags,
        summary: 'User name and password to a token for 12 hours',
        security: [],
        body: LoginRequest,
        response: { 200: LoginAnswer },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      return loginAnswer(await auth.login(request.body, request.ip))
    },
  )

  app.post(
    '/api/auth/logout',
    {
      schema: { tags, summary: 'End the session that is sent, at once', response: { 204: z.void() } },
    },
    async ({ identity }, reply) => {
      await auth.logout(identity)
      return reply.code(204).send()
    },
  )

  app.post(
    '/api/auth/password',
    {
      schema: {
        tags,
        summary: 'Change your password: ends all your sessions, and answers a new one',
        body: ChangePassword,
        response: { 200: LoginAnswer },
      },
    },
    async ({ identity, body, ip }, reply) => {
      reply.header('cache-control', 'no-store')
      return loginAnswer(await auth.changePassword(identity.user, body, ip))
    },
  )

  app.get(
    '/api/auth/me',
    { schema: { tags, summary: 'Who this token acts as, and until when', response: { 200: Me } } },
    ({ identity: { user, token, session } }) => ({
      ...userView(user),
      expires_at: (token ?? session)?.expires_at,
    }),
  )
}

const loginAnswer = ({ token, expires_at, user }: Awaited<ReturnType<Auth['login']>>): LoginAnswer => ({
  token,
  expires_at,
  access_token: token,
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.round((Date.parse(expires_at) - Date.now()) / 1000)),
  user: { ...userView(user), username: user.name },
})

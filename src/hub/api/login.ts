import { LoginAnswer, LoginRequest, UserView } from '../../contract/account-api.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { userView } from './users.ts'

export function loginRoutes(app: ApiApp, { auth }: ApiContext): void {
  app.post(
    '/api/auth/login',
    {
      config: { public: true },
      schema: {
        tags: ['accounts'],
        summary: 'User name and password to a token for 12 hours',
        security: [],
        body: LoginRequest,
        response: { 200: LoginAnswer },
      },
    },
    async (request, reply) => {
      const { token, expires_at, user } = await auth.login(request.body, request.ip)
      reply.header('cache-control', 'no-store')
      return {
        token,
        expires_at,
        access_token: token,
        token_type: 'Bearer' as const,
        expires_in: Math.max(0, Math.round((Date.parse(expires_at) - Date.now()) / 1000)),
        user: { ...userView(user), username: user.name },
      }
    },
  )

  app.get(
    '/api/auth/me',
    { schema: { tags: ['accounts'], summary: 'Who this token acts as', response: { 200: UserView } } },
    (request) => userView(request.identity.user),
  )
}

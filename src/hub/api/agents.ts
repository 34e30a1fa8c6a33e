import { agentsHealth } from '../agents/agents-health.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import { bearer } from './access.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function agentHandlers({ runners, auth }: ApiContext) {
  return {
    'GET /health/agents': async (request) => {
      const token = bearer(request)
      const identity = token === undefined ? undefined : await auth.authenticate(token)
      const views = await runners.list(identity?.user.tenant ?? DEFAULT_TENANT)
      return agentsHealth(views, identity !== undefined)
    },
  } satisfies Partial<Handlers>
}

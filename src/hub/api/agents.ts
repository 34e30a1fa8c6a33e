import { AgentsHealth } from '../../contract/agent-api.ts'
import { agentsHealth } from '../agents/agents-health.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import { bearer } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

export function agentRoutes(app: ApiApp, { runners, auth }: ApiContext): void {
  app.get(
    '/health/agents',
    {
      config: { public: true },
      schema: {
        tags: ['hub'],
        summary: 'Which agents are installed and usable on the connected runners; with a token, on which',
        security: [],
        response: { 200: AgentsHealth },
      },
    },
    async (request) => {
      const token = bearer(request)
      const identity = token === undefined ? undefined : await auth.authenticate(token)
      const views = await runners.list(identity?.user.tenant ?? DEFAULT_TENANT)
      return agentsHealth(views, identity !== undefined)
    },
  )
}

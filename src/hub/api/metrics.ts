import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import { needAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

/** Of the whole hub, whatever tenant: for its operators, who are the admins of the first tenant. */
export function metricsRoutes(app: ApiApp, { metrics }: ApiContext): void {
  if (metrics === undefined) return
  app.get(
    '/metrics',
    {
      config: { metrics: true },
      schema: {
        tags: ['hub'],
        summary:
          'Figures of the hub, as Prometheus reads them: for an admin, or a token of the scope `metrics`',
        response: {
          200: { description: 'Text format 0.0.4', content: { 'text/plain': { schema: z.string() } } },
        },
      },
    },
    async ({ identity }, reply) => {
      // Absent where the hub lets everybody on its machine read them.
      if (identity !== null) needAdmin(identity)
      if (identity !== null && identity.user.tenant !== DEFAULT_TENANT)
        throw new ErrandError('forbidden', 'The figures of the hub are for the admins of its first tenant.', {
          hint: 'One of them makes a token that reads them: errand tokens create NAME --scope metrics',
        })
      reply.header('cache-control', 'no-store').type('text/plain; version=0.0.4; charset=utf-8')
      return reply.serializer((text) => text as string).send(metrics.text())
    },
  )
}

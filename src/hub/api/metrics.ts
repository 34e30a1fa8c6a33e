import { ErrandError } from '../../contract/errors.ts'
import { DEFAULT_TENANT } from '../auth/first-admin.ts'
import { needAdmin } from './access.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

/** Of the whole hub, whatever tenant: for its operators, who are the admins of the first tenant. */
export function metricsHandlers({ metrics }: ApiContext) {
  return {
    'GET /metrics': async ({ identity }, reply) => {
      // Absent where the hub lets everybody on its machine read them.
      if (identity !== null) needAdmin(identity)
      if (identity !== null && identity.user.tenant !== DEFAULT_TENANT)
        throw new ErrandError('forbidden', 'The figures of the hub are for the admins of its first tenant.', {
          hint: 'One of them makes a token that reads them: errand tokens create NAME --scope metrics',
        })
      reply.header('cache-control', 'no-store').type('text/plain; version=0.0.4; charset=utf-8')
      return reply.serializer((text) => text as string).send(metrics.text())
    },
  } satisfies Partial<Handlers>
}

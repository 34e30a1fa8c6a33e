import { Enrolments } from '../auth/enrolment.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function enrolmentHandlers({ accounts, auth }: ApiContext) {
  const enrolments = new Enrolments({ accounts, auth })

  return {
    'POST /api/runners/enrollments': async ({ identity, body }, reply) => {
      reply.header('cache-control', 'no-store')
      return await enrolments.create(identity.user, body)
    },

    'POST /api/runners/enroll': async ({ body, ip }, reply) => {
      const enrolled = await enrolments.exchange(body, ip)
      reply.header('cache-control', 'no-store')
      return enrolled
    },
  } satisfies Partial<Handlers>
}

import {
  CreateEnrollment,
  EnrollmentCreated,
  EnrollRunner,
  RunnerEnrolled,
} from '../../contract/enrolment.ts'
import { Enrolments } from '../auth/enrolment.ts'
import { needAdmin } from './access.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['runners']

export function enrolmentRoutes(app: ApiApp, { accounts, auth }: ApiContext): void {
  const enrolments = new Enrolments({ accounts, auth })

  app.post(
    '/api/runners/enrollments',
    {
      schema: {
        tags,
        summary: 'A token that makes one machine a runner, shown this once (admin)',
        body: CreateEnrollment.prefault({}),
        response: { 201: EnrollmentCreated },
      },
    },
    async ({ identity, body }, reply) => {
      needAdmin(identity)
      reply.code(201).header('cache-control', 'no-store')
      return await enrolments.create(identity.user, body)
    },
  )

  app.post(
    '/api/runners/enroll',
    {
      // The token in its body is what opens it, under whatever name the machine knows the hub.
      config: { public: true, anyHost: true },
      schema: {
        tags,
        summary: "Exchange an enrolment token for a runner's own; from the machine, once",
        security: [],
        body: EnrollRunner,
        response: { 201: RunnerEnrolled },
      },
    },
    async ({ body, ip }, reply) => {
      const enrolled = await enrolments.exchange(body, ip)
      reply.code(201).header('cache-control', 'no-store')
      return enrolled
    },
  )
}

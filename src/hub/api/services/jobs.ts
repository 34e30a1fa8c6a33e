import { jobErrorCode, readJob } from '../../../compat/jobs.ts'
import type { JobRefused } from '../../../contract/bots/job-api.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { Jobs } from '../../bots/jobs.ts'
import type { ApiContext } from '../api-context.ts'
import { ownerOf } from '../bots.ts'
import { checked } from '../http/request-validator.ts'
import type { Handlers } from '../http/routes.ts'

const refused = ({ code, message, hint }: ErrandError): JobRefused => ({
  status: 'failure',
  error: { code: jobErrorCode(code), message, hint },
})

/** Serves bots as callers of the old bot runner know them. The hub's own form of this is at `/api/bots`. */
export function jobHandlers({ bots, engine, limits }: ApiContext) {
  const jobs = new Jobs({ bots, engine, logMs: limits.jobSeconds * 1000 })

  return {
    'POST /jobs': {
      async handle({ identity, body }, reply) {
        try {
          return await jobs.run(ownerOf(identity), readJob(body, checked))
        } catch (error) {
          if (!(error instanceof ErrandError) || error.status >= 500) throw error
          reply.code(400)
          return refused(error)
        }
      },
      // Not a job at all: no JSON, or a list.
      refuse(error, reply) {
        if (!(error instanceof ErrandError) || error.status !== 400) throw error
        return reply.code(400).send(refused(error))
      },
    },

    'GET /jobs/:id': ({ identity, params }) => jobs.get(ownerOf(identity), params.id),
  } satisfies Partial<Handlers>
}

import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { JobAnswer, jobErrorCode } from '../../dialects/jobs/job-answer.ts'
import { JobRequest, readJob } from '../../dialects/jobs/job-request.ts'
import { Jobs } from '../bots/jobs.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { ownerOf } from './bots.ts'
import { checked } from './request-validator.ts'

const tags = ['bots']
const config = { clientToken: true }
const Refused = JobAnswer.pick({ status: true, error: true })

const refused = ({ code, message, hint }: ErrandError): z.infer<typeof Refused> => ({
  status: 'failure',
  error: { code: jobErrorCode(code), message, hint },
})

/** As callers of the bot runner know it; what this answers in its own words is at `/api/bots`. */
export function jobRoutes(app: ApiApp, { bots, engine, limits }: ApiContext): void {
  const jobs = new Jobs({ bots, engine, logMs: limits.jobSeconds * 1000 })

  app.post(
    '/jobs',
    {
      config,
      schema: {
        tags,
        summary: "A job of the bot runner; how it went stands in the answer's `status`",
        body: JobRequest,
        response: { 200: JobAnswer, 400: Refused },
      },
      // What is no job at all: no JSON, or a list.
      errorHandler(error: Error, _, reply) {
        if (!(error instanceof ErrandError) || error.status !== 400) throw error
        return reply.code(400).send(refused(error))
      },
    },
    async ({ identity, body }, reply) => {
      try {
        return await jobs.run(ownerOf(identity), readJob(body, checked))
      } catch (error) {
        if (!(error instanceof ErrandError) || error.status >= 500) throw error
        return reply.code(400).send(refused(error))
      }
    },
  )

  app.get(
    '/jobs/:id',
    {
      config,
      schema: {
        tags,
        summary: 'A job of the bot runner',
        params: z.object({ id: z.string().describe('The job') }),
        response: { 200: JobAnswer },
      },
    },
    ({ identity, params }) => jobs.get(ownerOf(identity), params.id),
  )
}

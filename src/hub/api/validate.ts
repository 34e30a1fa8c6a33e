import { ValidateAnswer, ValidateRequest } from '../../contract/api.ts'
import { parseWorkflow } from '../../engine/file/check.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

export function validateRoutes(app: ApiApp, { catalog }: ApiContext): void {
  app.post(
    '/api/validate',
    {
      schema: {
        tags: ['runs'],
        summary: 'Every mistake in a workflow file; nothing is run',
        body: ValidateRequest,
        response: { 200: ValidateAnswer },
      },
    },
    async ({ body }) => {
      const { problems } = parseWorkflow(body.yaml, { catalog })
      return { valid: problems.every(({ severity }) => severity !== 'error'), problems }
    },
  )
}

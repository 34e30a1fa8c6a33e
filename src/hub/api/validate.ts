import { builtinActions } from '../../contract/actions.ts'
import { ValidateAnswer, ValidateRequest } from '../../contract/validate-api.ts'
import { parseWorkflow } from '../../engine/file/check.ts'
import { agentsOf } from '../agents/agent-names.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

export function validateRoutes(app: ApiApp, { runners }: ApiContext): void {
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
    async ({ identity, body }) => {
      const agents = agentsOf(await runners.list(identity.user.tenant))
      const { problems } = parseWorkflow(body.yaml, { catalog: builtinActions, agents })
      return { valid: problems.every(({ severity }) => severity !== 'error'), problems }
    },
  )
}

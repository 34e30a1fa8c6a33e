import { builtinActions } from '../../contract/actions.ts'
import { parseWorkflow } from '../../engine/file/check.ts'
import { agentsOf } from '../agents/agent-names.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function validateHandlers({ runners }: ApiContext) {
  return {
    'POST /api/validate': async ({ identity, body }) => {
      const agents = agentsOf(await runners.list(identity.user.tenant))
      const { problems } = parseWorkflow(body.yaml, { catalog: builtinActions, agents })
      return { valid: problems.every(({ severity }) => severity !== 'error'), problems }
    },
  } satisfies Partial<Handlers>
}

import type { ApiContext } from '../api-context.ts'
import type { Handlers } from '../http/routes.ts'
import { requesterOf } from '../tasks.ts'

/** Serves the task registry with the paths and fields that older systems know. */
export function taskRegistryHandlers({ tasks }: ApiContext) {
  return {
    'PUT /api/registry/tasks/:id/status': async ({ identity, params, body }) => {
      const named = { by: requesterOf(identity), ref: params.id }
      const { own_id, state } = await tasks.setStatus(named, body.status, body.metadata)
      return { task_id: own_id, status: state }
    },

    'POST /api/registry/tasks/:id/events': ({ identity, params, body }) =>
      tasks.addEvent({ by: requesterOf(identity), ref: params.id }, body),

    'POST /api/registry/tasks/:id/artifacts': async ({ identity, params, body }, reply) => {
      const isNew = await tasks.addArtifact({ by: requesterOf(identity), ref: params.id }, body)
      reply.code(isNew ? 201 : 200)
      return { task_id: params.id, uri: body.uri }
    },
  } satisfies Partial<Handlers>
}

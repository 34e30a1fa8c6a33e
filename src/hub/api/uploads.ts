import type { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import type { ApiContext } from './api-context.ts'
import type { Handlers } from './http/routes.ts'

export function uploadHandlers({ uploads }: ApiContext) {
  return {
    'PUT /api/uploads': async ({ identity, body }) => {
      if (typeof (body as Readable | undefined)?.pipe !== 'function')
        throw new ErrandError(
          'unsupported_media_type',
          'An upload must be a zip, tar or tar.gz file, sent as raw bytes.',
          {
            hint: 'curl -X PUT --data-binary @code.tar.gz -H "content-type: application/gzip" URL/api/uploads',
          },
        )
      return await uploads.put(identity.user.tenant, body as Readable)
    },

    'GET /api/uploads/:id': async ({ runnerTenant, params }, reply) => {
      const { bytes, stream } = await uploads.open(runnerTenant, params.id)
      reply
        .header('content-length', bytes)
        .header('cache-control', 'no-store')
        .type('application/octet-stream')
      return reply.send(stream as unknown as string)
    },
  } satisfies Partial<Handlers>
}

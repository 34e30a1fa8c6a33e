import type { Readable } from 'node:stream'
import * as z from 'zod'
import { MAX_UPLOAD_BYTES, StartBot, Upload } from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

const tags = ['bots']

export function uploadRoutes(app: ApiApp, { uploads }: ApiContext): void {
  app.put(
    '/api/uploads',
    {
      bodyLimit: MAX_UPLOAD_BYTES,
      config: { archive: true },
      schema: {
        tags,
        summary:
          'Keep an archive with the code of a bot: a zip, tar or tar.gz as the body (application/zip, application/gzip)',
        response: { 201: Upload },
      },
    },
    async ({ identity, body }, reply) => {
      if (typeof (body as Readable | undefined)?.pipe !== 'function')
        throw new ErrandError(
          'unsupported_media_type',
          'An upload is a zip, a tar or a tar.gz, sent as it is.',
          {
            hint: 'curl -X PUT --data-binary @code.tar.gz -H "content-type: application/gzip" URL/api/uploads',
          },
        )
      return reply.code(201).send(await uploads.put(identity.user.tenant, body as Readable))
    },
  )

  app.get(
    '/api/uploads/:id',
    {
      config: { runner: true },
      schema: {
        tags,
        summary: 'The bytes of an upload, for runners',
        params: z.object({ id: StartBot.shape.upload.unwrap() }),
        response: {
          200: { description: 'The bytes', content: { 'application/octet-stream': { schema: z.string() } } },
        },
      },
    },
    async ({ runnerTenant, params }, reply) => {
      const { bytes, stream } = await uploads.open(runnerTenant, params.id)
      reply
        .header('content-length', bytes)
        .header('cache-control', 'no-store')
        .type('application/octet-stream')
      return reply.send(stream as unknown as string)
    },
  )
}

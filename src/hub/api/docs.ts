import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiApp, ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

/** What `openapi.ts` makes of the routes. */
export interface ApiDocs {
  /** The OpenAPI document, as JSON. */
  document: string
  /** Answers a request under `/docs`. */
  answer(request: IncomingMessage, response: ServerResponse): void
  close(): Promise<void>
}

/** The documentation, made when it is first asked for: an idle hub has no memory to spare for it. */
export function docsHandlers({ version }: ApiContext, app: ApiApp) {
  let docs: Promise<ApiDocs> | undefined
  const load = () => {
    docs ??= import('./openapi.ts').then(({ describeApi }) => describeApi(version))
    return docs
  }

  const page = async (request: FastifyRequest, reply: FastifyReply) => {
    const { answer } = await load()
    reply.hijack()
    answer(request.raw, reply.raw)
    return undefined
  }
  app.addHook('onClose', async () => {
    await (await docs?.catch(() => undefined))?.close()
  })

  return {
    'GET /api/openapi.json': async (_request, reply) => {
      reply.type('application/json; charset=utf-8')
      return reply.send((await load()).document)
    },
    'GET /': (_request, reply) => reply.redirect('/docs'),
    'GET /docs': page,
    'GET /docs/*': page,
  } satisfies Partial<Handlers>
}

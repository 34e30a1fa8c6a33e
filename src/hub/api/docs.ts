import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiApp, ApiContext } from './api-context.ts'

/** What `openapi.ts` makes of the routes. */
export interface ApiDocs {
  /** The OpenAPI document, as JSON. */
  document: string
  /** Answers a request under `/docs`. */
  answer(request: IncomingMessage, response: ServerResponse): void
  close(): Promise<void>
}

/** The documentation, made when it is first asked for: an idle hub has no memory to spare for it. */
export function docsRoutes(app: ApiApp, context: ApiContext): void {
  let docs: Promise<ApiDocs> | undefined
  const load = () => {
    docs ??= import('./openapi.ts').then(({ describeApi }) => describeApi(context))
    return docs
  }
  const config = { public: true, anyHost: true }

  app.get('/api/openapi.json', { config, schema: { hide: true } }, async (_request, reply) => {
    reply.type('application/json; charset=utf-8')
    return reply.send((await load()).document)
  })
  app.get('/', { config, schema: { hide: true } }, (_request, reply) => reply.redirect('/docs'))
  for (const url of ['/docs', '/docs/*'])
    app.get(url, { config, schema: { hide: true } }, async (request, reply) => {
      const { answer } = await load()
      reply.hijack()
      answer(request.raw, reply.raw)
    })
  app.addHook('onClose', async () => {
    await (await docs?.catch(() => undefined))?.close()
  })
}

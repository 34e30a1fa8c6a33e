import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify from 'fastify'
import { jsonSchemaTransform, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import { ErrorAnswer } from '../../contract/error-answer.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import type { ApiDocs } from './docs.ts'
import { resourceRoutes } from './resources.ts'
import { keepRouteTable } from './route-table.ts'

/** Reads the same routes into an app of its own, which serves nothing but their description. */
export async function describeApi(context: ApiContext): Promise<ApiDocs> {
  const app: ApiApp = Fastify({ exposeHeadRoutes: false }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => JSON.stringify)
  keepRouteTable(app)
  app.addHook('onRoute', ({ schema }) => {
    if (schema === undefined || schema.hide === true) return
    const response = schema.response as Record<string, unknown> | undefined
    schema.response = { ...response, '4xx': ErrorAnswer }
  })
  await app.register(swagger, {
    transform: jsonSchemaTransform,
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Errand', version: context.version, description: 'The API of an Errand hub.' },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
      tags: [
        { name: 'runs' },
        { name: 'bots' },
        { name: 'runners' },
        { name: 'secrets' },
        { name: 'accounts' },
        { name: 'hub' },
      ],
    },
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    // Without the bar on top, whose logo is that of others.
    theme: { title: 'Errand API', favicon: [] },
    uiConfig: { docExpansion: 'list', layout: 'BaseLayout' },
  })
  await app.register(async (inner) => resourceRoutes(inner as unknown as ApiApp, context))
  await app.ready()
  const document = JSON.stringify(app.swagger())
  return {
    document,
    answer: (request, response) => app.routing(request, response),
    close: () => app.close(),
  }
}

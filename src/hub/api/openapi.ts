import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifySchema } from 'fastify'
import { jsonSchemaTransform, validatorCompiler } from 'fastify-type-provider-zod'
import type { Route } from '../../contract/routes/route.ts'
import { routes } from '../../contract/routes/table.ts'
import { ErrorAnswer } from '../../contract/run-api.ts'
import { addressOf, schemaOf } from './http/routes.ts'
import type { ApiDocs } from './hub.ts'

/** Generates the description of the routes with a separate app that serves nothing else. */
export async function describeApi(version: string): Promise<ApiDocs> {
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => JSON.stringify)
  app.addHook('onRoute', ({ schema }) => {
    if (schema === undefined || schema.hide === true) return
    const response = schema.response as Record<string, unknown> | undefined
    // Any route answers 503 while the hub stops, or if a runner or service that it needs is away.
    schema.response = { ...response, '4xx': ErrorAnswer, '503': Unavailable }
  })
  await app.register(swagger, {
    transform: jsonSchemaTransform,
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Errand', version: version, description: 'The API of an Errand hub.' },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
      tags: [
        { name: 'runs' },
        { name: 'tasks' },
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
    // A hub speaks http, and with this a browser would fetch scripts over https on every machine but the hub's.
    transformStaticCSP: (policy) => policy.replace(/ *upgrade-insecure-requests;/, ''),
    // Without the bar on top, which has another product's logo.
    theme: { title: 'Errand API', favicon: [] },
    uiConfig: { docExpansion: 'list', layout: 'BaseLayout' },
  })
  await app.register(async (inner) => {
    for (const [name, route] of Object.entries<Route>(routes))
      if (route.tag !== undefined)
        inner.route({ ...addressOf(name), schema: documentOf(route), handler: () => {} })
  })
  await app.ready()
  return {
    document: JSON.stringify(withoutEmptyBodies(app.swagger())),
    answer: (request, response) => app.routing(request, response),
    close: () => app.close(),
  }
}

const Unavailable = ErrorAnswer.meta({
  description: 'The hub is stopping, or a required runner or service is unavailable: try again later',
})

type Document = ReturnType<ReturnType<typeof Fastify>['swagger']>
type Operation = { responses?: Record<string, { content?: unknown }> }

/** Removes the content type that an answer without a body would get. */
function withoutEmptyBodies(document: Document): Document {
  for (const operations of Object.values<object>(document.paths ?? {}))
    for (const { responses } of Object.values<Operation>({ ...operations }))
      delete responses?.['204']?.content
  return document
}

/** Same as `schemaOf`, for a route whose body is not JSON. */
const documentOf = (route: Route): FastifySchema =>
  route.form === undefined
    ? schemaOf(route)
    : { ...schemaOf(route), consumes: ['multipart/form-data'], body: route.form }

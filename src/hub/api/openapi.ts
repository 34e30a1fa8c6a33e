import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifySchema } from 'fastify'
import { jsonSchemaTransform, validatorCompiler } from 'fastify-type-provider-zod'
import type { Route } from '../../contract/routes/route.ts'
import { routes } from '../../contract/routes/table.ts'
import { ErrorAnswer } from '../../contract/run-api.ts'
import { addressOf, schemaOf } from './http/routes.ts'
import type { ApiDocs } from './hub.ts'

/** The description of the routes, made by an app of its own that serves nothing else. */
export async function describeApi(version: string): Promise<ApiDocs> {
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => JSON.stringify)
  app.addHook('onRoute', ({ schema }) => {
    if (schema === undefined || schema.hide === true) return
    const response = schema.response as Record<string, unknown> | undefined
    // A hub that stops answers so on every route, and so does what needs a runner or a service that is away.
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
    // A hub speaks http: a browser would ask for scripts by https on every machine but its own.
    transformStaticCSP: (policy) => policy.replace(/ *upgrade-insecure-requests;/, ''),
    // Without the bar on top, whose logo is that of others.
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
  description: 'The hub is stopping, or a runner or a service that this needs is away: try again later',
})

type Document = ReturnType<ReturnType<typeof Fastify>['swagger']>
type Operation = { responses?: Record<string, { content?: unknown }> }

/** Takes away the type that the answer without a body would have. */
function withoutEmptyBodies(document: Document): Document {
  for (const operations of Object.values<object>(document.paths ?? {}))
    for (const { responses } of Object.values<Operation>({ ...operations }))
      delete responses?.['204']?.content
  return document
}

/** As `schemaOf`, with a body that is no JSON. */
const documentOf = (route: Route): FastifySchema =>
  route.form === undefined
    ? schemaOf(route)
    : { ...schemaOf(route), consumes: ['multipart/form-data'], body: route.form }

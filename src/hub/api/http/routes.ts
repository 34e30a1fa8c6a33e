import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type * as z from 'zod'
import {
  type JsonAnswers,
  MAX_STRANGERS_BODY_BYTES,
  type Route,
  type Taken,
} from '../../../contract/routes/route.ts'
import { type RouteName, type Routes, routes } from '../../../contract/routes/table.ts'
import type { ApiApp } from '../api-context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Returns the methods that any route takes at this path. */
    methodsOf(path: string): string[]
    /** Returns the name of every served route, such as `GET /api/runs/:id`. */
    routeNames(): string[]
  }
}

/** A request whose sender may use the route, with its parts converted by its schemas. */
type RequestOf<R extends Route> = FastifyRequest & {
  [P in 'params' | 'query' | 'headers' | 'body']: z.output<Taken<R, P>>
}
/** Body type of an answer. A stream is sent by the handler itself or returned. */
type BodyOf<R extends Route> =
  | z.input<JsonAnswers<R>>
  | (R['answers'][keyof R['answers']] extends z.ZodType ? never : Readable | FastifyReply | undefined)

type Handle<R extends Route> = (request: RequestOf<R>, reply: FastifyReply) => BodyOf<R> | Promise<BodyOf<R>>

export type Handlers = {
  [N in RouteName]:
    | Handle<Routes[N]>
    /** `refuse` answers a request that could not be read or did not match its schemas. */
    | { handle: Handle<Routes[N]>; refuse(error: Error, reply: FastifyReply): unknown }
}

/** Connects the routes of the table with the handlers of the same name. */
export function registerRoutes(app: ApiApp, handlers: Handlers): void {
  rememberRoutes(app)
  for (const [name, route] of Object.entries<Route>(routes)) {
    const handler = handlers[name as RouteName]
    const { handle, refuse } = typeof handler === 'function' ? { handle: handler } : handler
    const answer = handle as (request: FastifyRequest, reply: FastifyReply) => unknown
    const [status, another] = Object.keys(route.answers)
    app.route({
      ...addressOf(name),
      exposeHeadRoute: route.head ?? false,
      bodyLimit: route.bodyBytes ?? (route.who === 'anyone' ? MAX_STRANGERS_BODY_BYTES : undefined),
      config: { route },
      schema: schemaOf(route),
      errorHandler: refuse && ((error, _request, reply) => refuse(error, reply)),
      handler(request, reply) {
        if (another === undefined) reply.code(Number(status))
        return answer(request, reply)
      },
    })
  }
}

/** Splits a name such as `GET /api/runs/:id`. */
export function addressOf(name: string): { method: string; url: string } {
  const [method, url] = name.split(' ') as [string, string]
  return { method, url }
}

/** Returns the schemas of a route and the rest of its documentation. */
export function schemaOf({ who, tag, summary, params, query, headers, body, answers }: Route): FastifySchema {
  if (tag === undefined) return { hide: true }
  return {
    tags: [tag],
    summary,
    ...(who === 'anyone' && { security: [] }),
    ...(params && { params }),
    ...(query && { querystring: query }),
    ...(headers && { headers }),
    ...(body && { body }),
    response: answers,
  }
}

/** Remembers the routes, to tell a wrong method from a wrong path. */
function rememberRoutes(app: ApiApp): void {
  const known: { url: string; pattern: RegExp; methods: string[] }[] = []
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+')}$`)
    known.push({ url, pattern, methods: [method].flat() })
  })
  app.decorate('methodsOf', (path: string) => [
    ...new Set(known.filter((route) => route.pattern.test(path)).flatMap((route) => route.methods)),
  ])
  app.decorate('routeNames', () =>
    known.flatMap(({ url, methods }) => methods.map((method) => `${method} ${url}`)),
  )
}

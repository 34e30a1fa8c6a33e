import type { ApiApp } from './api-context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The methods that some route takes at this path. */
    methodsOf(path: string): string[]
    /** Every route: `GET /api/runs/:id`. */
    routeNames(): string[]
  }
}

/** Remembers the routes, to tell a wrong method from a wrong path. Before the first route. */
export function keepRouteTable(app: ApiApp): void {
  const routes: { url: string; pattern: RegExp; methods: string[] }[] = []
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/:\w+/g, '[^/]+')}$`)
    routes.push({ url, pattern, methods: [method].flat() })
  })
  app.decorate('methodsOf', (path: string) => [
    ...new Set(routes.filter((route) => route.pattern.test(path)).flatMap((route) => route.methods)),
  ])
  app.decorate('routeNames', () =>
    routes.flatMap(({ url, methods }) => methods.map((method) => `${method} ${url}`)),
  )
}

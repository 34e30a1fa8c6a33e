import type * as z from 'zod'
import { accountRoutes, channelRoutes, secretRoutes } from './accounts.ts'
import { artifactRoutes } from './artifacts.ts'
import { botRoutes } from './bots.ts'
import { hubRoutes } from './hub.ts'
import type { JsonAnswers } from './route.ts'
import { runnerRoutes } from './runners.ts'
import { runRoutes } from './runs.ts'
import { serviceRoutes } from './services.ts'
import { taskRoutes } from './tasks.ts'
import { viewRoutes } from './views.ts'

/**
 * Every route of a hub, in the order of the documentation. The hub serves, checks and describes them from this table; a
 * client uses only the types, since it does not need the schemas.
 */
export const routes = {
  ...runRoutes,
  ...viewRoutes,
  ...taskRoutes,
  ...serviceRoutes,
  ...artifactRoutes,
  ...botRoutes,
  ...runnerRoutes,
  ...secretRoutes,
  ...accountRoutes,
  ...channelRoutes,
  ...hubRoutes,
}

export type Routes = typeof routes
export type RouteName = keyof Routes

type Query<Q, As> = { [K in keyof Q]: Q[K] | (K extends keyof As ? As[K] : never) }

/** The parts of a request that a caller of the route sends. Query values that are not text are sent as text. */
export type RouteInput<N extends RouteName> = (Routes[N] extends { params: infer P extends z.ZodType }
  ? { params: z.input<P> }
  : unknown) &
  (Routes[N] extends { query: infer Q extends z.ZodType }
    ? Record<never, never> extends z.input<Q>
      ? { query?: Query<z.input<Q>, z.output<Q>> }
      : { query: Query<z.input<Q>, z.output<Q>> }
    : unknown) &
  (Routes[N] extends { body: infer B extends z.ZodType } ? { body: z.input<B> } : unknown)

/** The JSON that a caller of the route receives. */
export type AnswerOf<N extends RouteName> = z.output<JsonAnswers<Routes[N]>>

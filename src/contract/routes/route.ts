import * as z from 'zod'
import type { Permission } from '../account-api.ts'

/** A body that is no JSON, or that comes bit by bit. */
interface Content {
  description: string
  content: Readonly<Record<string, { schema: z.ZodType }>>
}

/** Largest body of whoever has sent no token. */
export const MAX_STRANGERS_BODY_BYTES = 64 * 1024

/** A route of a hub. Its name is its method and its path, such as `GET /api/runs/:id`. */
export interface Route {
  /**
   * `anyone`: no token is needed. `admin`: an admin of the tenant. `runner`: the token of a runner, and no other.
   * `metrics`: a token of the scope `metrics` too, or none where the hub's figures are open.
   */
  who: 'anyone' | 'user' | 'admin' | 'runner' | 'metrics'
  /**
   * Makes or changes credentials or rights that outlive the request: it takes a log-in, or a token with this permission. A test walks
   * all routes, and fails for one that does so without this.
   */
  makes?: Permission
  /** Under which the documentation shows it; absent: it is not shown. */
  tag?: 'runs' | 'tasks' | 'bots' | 'runners' | 'secrets' | 'accounts' | 'hub'
  summary: string
  /** Where else the token may stand: in `?access_token=` (a browser's EventSource and links can send no header), or in `X-Client-Token`. */
  tokenIn?: 'query' | 'x-client-token'
  /** Answers under any host name: it tells nothing and changes nothing, or its body says who asks. */
  anyHost?: true
  /** Answers HEAD too. */
  head?: true
  params?: z.ZodType
  query?: z.ZodType
  headers?: z.ZodType
  body?: z.ZodType
  /** Its body is given to the handler as the text that came: it is signed. */
  raw?: true
  /** Takes an archive as its body, as a stream. */
  archive?: true
  /** Takes a form (`multipart/form-data`) too, as a stream: with these parts. */
  form?: z.ZodType
  /** Its body may take as long as it comes. */
  endless?: true
  /** Where it takes more, or less, than other routes: those that need no token take `MAX_STRANGERS_BODY_BYTES`. */
  bodyBytes?: number
  /** By status: a schema is answered as JSON; where there is one status, it is what a handler that says nothing answers. */
  answers: Readonly<Record<number, z.ZodType | Content>>
}

/** Routes by their names, with the types of all that they take and answer. */
export const routeTable = <const T extends Record<`${string} /${string}`, Route>>(routes: T): T => routes

/** The answer that has no body. */
export const nothing = z.void()

/** A body of this media type. */
export const content = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: z.string() } },
})

type Schemas<A> = A extends z.ZodType
  ? A
  : A extends { content: { 'application/json': { schema: infer S } } }
    ? S
    : never
/** The schemas of what a route answers as JSON. */
export type JsonAnswers<R extends Route> = Schemas<R['answers'][keyof R['answers']]>

export type Taken<R extends Route, Part extends 'params' | 'query' | 'headers' | 'body'> = R extends {
  [P in Part]: infer S extends z.ZodType
}
  ? S
  : z.ZodUnknown

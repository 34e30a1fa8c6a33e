import * as z from 'zod'
import type { Permission } from '../account-api.ts'

/** A body that is not JSON, or that comes in pieces. */
interface Content {
  description: string
  content: Readonly<Record<string, { schema: z.ZodType }>>
}

/** Largest body of a client without a token. */
export const MAX_STRANGERS_BODY_BYTES = 64 * 1024

/** A route of a hub. Its name is its method and its path, such as `GET /api/runs/:id`. */
export interface Route {
  /**
   * `anyone`: no token is needed. `admin`: an admin of the tenant. `runner`: only the token of a runner. `metrics`:
   * also a token of the scope `metrics`, or none if the hub's figures are open.
   */
  who: 'anyone' | 'user' | 'admin' | 'runner' | 'metrics'
  /**
   * Set when it creates or changes credentials or rights that outlive the request: it requires a log-in, or a token
   * with this permission. A test walks all routes, and fails for one that does so without this.
   */
  makes?: Permission
  /** The section of the documentation; absent: it is not documented. */
  tag?: 'runs' | 'tasks' | 'bots' | 'runners' | 'secrets' | 'accounts' | 'hub'
  summary: string
  /**
   * Another place for the token: `?access_token=` (a browser's EventSource and links cannot send headers), or
   * `X-Client-Token`.
   */
  tokenIn?: 'query' | 'x-client-token'
  /** Answers under any host name: it reveals and changes nothing, or its body identifies the caller. */
  anyHost?: true
  /** Answers HEAD requests, too. */
  head?: true
  params?: z.ZodType
  query?: z.ZodType
  headers?: z.ZodType
  body?: z.ZodType
  /** Passes the body to the handler as the original text, because it is signed. */
  raw?: true
  /** Accepts an archive as its body, as a stream. */
  archive?: true
  /** Accepts a form (`multipart/form-data`) with these parts, too, as a stream. */
  form?: z.ZodType
  /** Sets no time limit for the body. */
  endless?: true
  /**
   * Most bytes of the body, if that differs from other routes: those without a token accept `MAX_STRANGERS_BODY_BYTES`.
   */
  bodyBytes?: number
  /** Answers by status. A schema is sent as JSON; a single status is the handler's default. */
  answers: Readonly<Record<number, z.ZodType | Content>>
}

/** Makes a table of routes by their names, with the types of all that they accept and answer. */
export const routeTable = <const T extends Record<`${string} /${string}`, Route>>(routes: T): T => routes

/** An answer without a body. */
export const nothing = z.void()

/** Describes a body of this media type. */
export const content = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: z.string() } },
})

type Schemas<A> = A extends z.ZodType
  ? A
  : A extends { content: { 'application/json': { schema: infer S } } }
    ? S
    : never
/** The schemas of a route's JSON answers. */
export type JsonAnswers<R extends Route> = Schemas<R['answers'][keyof R['answers']]>

export type Taken<R extends Route, Part extends 'params' | 'query' | 'headers' | 'body'> = R extends {
  [P in Part]: infer S extends z.ZodType
}
  ? S
  : z.ZodUnknown

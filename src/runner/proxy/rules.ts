import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { Network } from '../../contract/isolation.ts'
import { lockHolder } from '../../platform/pid-lock.ts'

/**
 * Everything that the runner and its proxy exchange, in a folder for each endpoint (`<state>/proxy/doors/<id>/`). The
 * runner writes `rules.json` (mode 0600, it holds keys); the proxy appends to `told.jsonl`. The folder `in` contains
 * only the socket `proxy`; that folder alone is in a box, as `/run/errand`. The socket identifies the box of a request.
 */

/** Model service that an attempt reaches at `http://127.0.0.1:3128/model/<name>`, without its key. */
export const ModelRule = z.object({
  /** Path segment: `anthropic`, `openai`. */
  name: z.string().regex(/^[a-z0-9-]+$/),
  /**
   * Format of requests and counts: Anthropic's Messages; or OpenAI's Responses and Chat Completions, distinguished by
   * their paths.
   */
  shape: z.enum(['messages', 'openai']),
  /** Base URL, to which the part after `/model/<name>` is appended. */
  upstream: z.url({ protocol: /^https?$/ }),
  /** Text that the attempt has instead of the key, different for each attempt. */
  sentinel: z.string().min(16),
  /** Header that the key is sent in: `x-api-key`, or `Authorization: Bearer`. */
  header: z.enum(['x-api-key', 'bearer']),
  key: z.string().min(1),
  /** Additional headers of the service. */
  headers: z.record(z.string(), z.string()).default({}),
  /** Models that may be used, in the syntax of `isAllowedModel`; absent: all. */
  models: z.array(z.string()).optional(),
  /**
   * Set if a step named it, not the machine: it must be on the public internet, or a private place that the network
   * allows.
   */
  checked: z.boolean().optional(),
  /** Proxy of the machine through which the service is reached. */
  proxy: z.url({ protocol: /^https?$/ }).optional(),
})
export type ModelRule = z.infer<typeof ModelRule>

export const EndpointRules = z.object({
  version: z.literal(1),
  /** Key of the attempt, unique on this machine. */
  key: z.string(),
  network: Network,
  /** Places that no rule opens, as `host` or `host:port`: the hub, and others that the runner names. */
  never: z.array(z.string()).default([]),
  models: z.array(ModelRule),
  /** Limits after which no request to a model begins. */
  budget: z.object({ tokens: z.number().optional(), cost_usd: z.number().optional() }).default({}),
})
export type EndpointRules = z.infer<typeof EndpointRules>

/** Tokens of one answer, as the service counts them; no field includes another. */
export const Tokens = z.object({
  input: z.number().default(0),
  output: z.number().default(0),
  cache_read: z.number().default(0),
  cache_write: z.number().default(0),
  reasoning: z.number().default(0),
})
export type Tokens = z.infer<typeof Tokens>

/** Line of `told.jsonl`. */
export const LogEntry = z.discriminatedUnion('type', [
  /** Number of refusals of that host since the last line; at most one line a second and host, 200 in total. */
  z.object({
    type: z.literal('refused'),
    host: z.string(),
    port: z.number(),
    why: z.string(),
    count: z.number(),
  }),
  /** Bytes to and from a host, written when its endpoint closes. */
  z.object({ type: z.literal('used'), host: z.string(), sent_bytes: z.number(), received_bytes: z.number() }),
  /** Start of a request to a model; one without an `answered` was cut, and counts as an estimate. */
  z.object({
    type: z.literal('asked'),
    id: z.number(),
    service: z.string(),
    model: z.string().optional(),
    /** Estimate from its bytes. */
    input_tokens: z.number().default(0),
  }),
  z.object({
    type: z.literal('answered'),
    id: z.number(),
    service: z.string(),
    model: z.string().optional(),
    status: z.number(),
    tokens: Tokens,
    /** Set if the stream was cut: counted as far as it was seen. */
    estimated: z.boolean().optional(),
    cost_usd: z.number().optional(),
  }),
  /** Refusal of a request because the budget is used up. */
  z.object({ type: z.literal('over_budget'), message: z.string() }),
])
export type LogEntry = z.infer<typeof LogEntry>

/**
 * Reports whether the attempt of an endpoint is gone: its folder, or the process that holds `owner` there, which the
 * attempt needs. Throws if that is unknown.
 */
export function isForsaken(endpoint: string): boolean {
  const attempt = readFileSync(join(endpoint, 'attempt'), 'utf8')
  return !existsSync(attempt) || lockHolder(join(attempt, 'owner'))?.alive === false
}

/** Exit code of a proxy that found another one at work in its folder. */
export const FOLDER_TAKEN = 3

/** Path of the endpoint in a box. */
export const ENDPOINT_INSIDE = '/run/errand'
/** Port of the bridge in a box, at 127.0.0.1. */
export const ENDPOINT_PORT = 3128
/** Reports whether a model is in the list; an entry that ends in `*` matches all models with that beginning. */
export const isAllowedModel = (models: readonly string[], model: string): boolean =>
  models.some((each) => (each.endsWith('*') ? model.startsWith(each.slice(0, -1)) : each === model))

/** Returns the base URL of a model service, as seen from a box, or where a gate listens. */
export const modelUrl = (name: string, port: number = ENDPOINT_PORT): string =>
  `http://127.0.0.1:${port}/model/${name}`

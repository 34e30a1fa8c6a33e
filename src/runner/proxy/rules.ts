import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { Network } from '../../contract/isolation.ts'
import { lockHolder } from '../../platform/pid-lock.ts'

/**
 * All that the runner and its proxy tell one another, in a folder for each door (`<state>/proxy/doors/<id>/`): the runner writes
 * `rules.json` (mode 0600, it holds keys), the proxy appends to `told.jsonl`. In the folder `in` there is the socket `proxy`, and
 * nothing else: that folder alone stands in a box, as `/run/errand`. Which socket a request comes by says whose it is.
 */

/** A service of models that an attempt reaches at `http://127.0.0.1:3128/model/<name>`, without its key. */
export const ModelRule = z.object({
  /** A path segment: `anthropic`, `openai`. */
  name: z.string().regex(/^[a-z0-9-]+$/),
  /** How requests and counts look: Anthropic's Messages; OpenAI's Responses and Chat Completions, told apart by their paths. */
  shape: z.enum(['messages', 'openai']),
  /** Base URL; what follows `/model/<name>` is appended. */
  upstream: z.url({ protocol: /^https?$/ }),
  /** The text that the attempt has instead of the key, unlike that of any other attempt. */
  sentinel: z.string().min(16),
  /** The header that the key is sent in, as `x-api-key` or as `Authorization: Bearer`. */
  header: z.enum(['x-api-key', 'bearer']),
  key: z.string().min(1),
  /** Further headers of the service. */
  headers: z.record(z.string(), z.string()).default({}),
  /** Models that may be used, as `isAllowedModel` reads them; absent: all. */
  models: z.array(z.string()).optional(),
  /** Set where a step has named it, not by the machine: it must be on the public internet, or a private place that the network allows. */
  checked: z.boolean().optional(),
  /** Of the machine, by which the service is reached. */
  proxy: z.url({ protocol: /^https?$/ }).optional(),
})
export type ModelRule = z.infer<typeof ModelRule>

export const DoorRules = z.object({
  version: z.literal(1),
  /** Of the attempt, among all of this machine. */
  key: z.string(),
  network: Network,
  /** Places that no rule opens, as `host` or `host:port`: the hub, and what else the runner names. */
  never: z.array(z.string()).default([]),
  models: z.array(ModelRule),
  /** Past it no request to a model begins. */
  budget: z.object({ tokens: z.number().optional(), cost_usd: z.number().optional() }).default({}),
})
export type DoorRules = z.infer<typeof DoorRules>

/** Tokens of one answer, as the service counts them; each apart from the others. */
export const Tokens = z.object({
  input: z.number().default(0),
  output: z.number().default(0),
  cache_read: z.number().default(0),
  cache_write: z.number().default(0),
  reasoning: z.number().default(0),
})
export type Tokens = z.infer<typeof Tokens>

/** A line of `told.jsonl`. */
export const Told = z.discriminatedUnion('type', [
  /** `count` refusals of that host since the last line; at most one line a second and host, 200 in all. */
  z.object({
    type: z.literal('refused'),
    host: z.string(),
    port: z.number(),
    why: z.string(),
    count: z.number(),
  }),
  /** Bytes to and from a host, told when its door is closed. */
  z.object({ type: z.literal('used'), host: z.string(), sent_bytes: z.number(), received_bytes: z.number() }),
  /** A request to a model has begun; one without an `answered` was cut, and counts as an estimate. */
  z.object({
    type: z.literal('asked'),
    id: z.number(),
    service: z.string(),
    model: z.string().optional(),
    /** As far as its bytes let it be guessed. */
    input_tokens: z.number().default(0),
  }),
  z.object({
    type: z.literal('answered'),
    id: z.number(),
    service: z.string(),
    model: z.string().optional(),
    status: z.number(),
    tokens: Tokens,
    /** The stream was cut: counted as far as it was seen. */
    estimated: z.boolean().optional(),
    cost_usd: z.number().optional(),
  }),
  /** A request was refused since the budget is used up. */
  z.object({ type: z.literal('over_budget'), message: z.string() }),
])
export type Told = z.infer<typeof Told>

/**
 * Whether the attempt of a door is gone: its folder, or the process that holds `owner` there, without which it cannot go on. Throws
 * where it cannot be told.
 */
export function isForsaken(door: string): boolean {
  const attempt = readFileSync(join(door, 'attempt'), 'utf8')
  return !existsSync(attempt) || lockHolder(join(attempt, 'owner'))?.alive === false
}

/** The exit code of a proxy that found another one at work in its folder. */
export const FOLDER_TAKEN = 3

/** Where it stands in a box. */
export const DOOR_INSIDE = '/run/errand'
/** Port of the bridge in a box, at 127.0.0.1. */
export const DOOR_PORT = 3128
/** Whether a model is among those, of which one that ends in `*` stands for all that begin so. */
export const isAllowedModel = (models: readonly string[], model: string): boolean =>
  models.some((each) => (each.endsWith('*') ? model.startsWith(each.slice(0, -1)) : each === model))

/** Base URL of a service of models, as seen from a box, or where a gate listens. */
export const modelUrl = (name: string, port: number = DOOR_PORT): string =>
  `http://127.0.0.1:${port}/model/${name}`

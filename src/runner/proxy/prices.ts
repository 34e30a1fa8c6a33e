import { readFileSync } from 'node:fs'
import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import type { Tokens } from './rules.ts'

const rates = {
  input: z.number().min(0),
  output: z.number().min(0),
  cache_read: z.number().min(0),
  cache_write: z.number().min(0),
}

/** Prices in US dollars per million tokens. */
export const Price = z.strictObject({
  ...rates,
  /** Price of a cache write that lasts an hour; absent: as `cache_write`. */
  cache_write_hour: z.number().min(0).optional(),
  /** Prices for all of a request whose input, cached tokens included, exceeds `above`. */
  long: z.strictObject({ above: z.number().positive(), ...rates }).optional(),
})
export type Price = z.infer<typeof Price>

/** Prices by model name. */
export type Prices = Readonly<Record<string, Price>>

const OPUS_4_5: Price = { input: 5, cache_write: 6.25, cache_write_hour: 10, cache_read: 0.5, output: 25 }
const SONNET_4: Price = { input: 3, cache_write: 3.75, cache_write_hour: 6, cache_read: 0.3, output: 15 }
const OPUS_4: Price = { input: 15, cache_write: 18.75, cache_write_hour: 30, cache_read: 1.5, output: 75 }
const SONNET_5: Price = { input: 2, cache_write: 2.5, cache_write_hour: 4, cache_read: 0.2, output: 10 }

/** Returns a price where writing to a cache costs nothing beyond the input. */
const openai = (input: number, cache_read: number, output: number, longAbove?: number): Price =>
  withLong({ input, cache_read, cache_write: input, output }, longAbove)

/** Adds prices for long requests: twice the input and one and a half times the output. */
const withLong = (price: Price, above: number | undefined): Price =>
  above === undefined
    ? price
    : {
        ...price,
        long: {
          above,
          input: price.input * 2,
          cache_read: price.cache_read * 2,
          cache_write: price.cache_write * 2,
          output: price.output * 1.5,
        },
      }

const LONG = 272_000

/**
 * List prices from the services' documentation on 2026-11-22, at their standard tier. A model that is not listed has no
 * price, and a budget of cost is refused for it; the operator's own prices (ERRAND_MODEL_PRICES) take precedence.
 */
export const listPrices: Prices = {
  // https://platform.claude.com/docs/en/about-claude/pricing
  'claude-fable-5-1': { input: 10, cache_write: 12.5, cache_write_hour: 20, cache_read: 0.25, output: 50 },
  'claude-fable-5': { input: 10, cache_write: 12.5, cache_write_hour: 20, cache_read: 1, output: 50 },
  'claude-opus-5': OPUS_4_5,
  'claude-opus-4-8': OPUS_4_5,
  'claude-opus-4-7': OPUS_4_5,
  'claude-opus-4-6': OPUS_4_5,
  'claude-opus-4-5': OPUS_4_5,
  'claude-opus-4-1': OPUS_4,
  'claude-opus-4': OPUS_4,
  'claude-sonnet-4': SONNET_4,
  // https://platform.claude.com/docs/en/models/opus-5-5/overview, …/sonnet-5/overview, …/sonnet-5-5/overview,
  // …/haiku-5-5/overview
  'claude-opus-5-5': { input: 4, cache_write: 5, cache_write_hour: 8, cache_read: 0.2, output: 20 },
  'claude-sonnet-5-5': SONNET_5,
  'claude-sonnet-5': SONNET_5,
  'claude-haiku-5-5': {
    ...{ input: 0.1, cache_write: 0.125, cache_write_hour: 0.2, cache_read: 0.01, output: 0.5 },
    long: { above: 100_000, input: 0.5, cache_write: 0.625, cache_read: 0.05, output: 2.5 },
  },
  // https://github.com/github/docs/blob/main/data/tables/copilot/models-and-pricing.yml
  'claude-sonnet-4-6': SONNET_4,
  'claude-sonnet-4-5': SONNET_4,
  'claude-haiku-4-5': { input: 1, cache_write: 1.25, cache_write_hour: 2, cache_read: 0.1, output: 5 },
  'gpt-5.5': openai(5, 0.5, 30, LONG),
  'gpt-5.6-terra': withLong({ input: 2, cache_read: 0.2, cache_write: 2.5, output: 12 }, LONG),
  'gpt-5.6-luna': withLong({ input: 0.2, cache_read: 0.02, cache_write: 0.25, output: 1.2 }, 200_000),
  'gpt-5.4': openai(2.5, 0.25, 15, LONG),
  'gpt-5.4-mini': openai(0.75, 0.075, 4.5),
  'gpt-5.4-nano': openai(0.2, 0.02, 1.25),
  'gpt-5.3-codex': openai(1.75, 0.175, 14),
  'gpt-5.2-codex': openai(1.75, 0.175, 14),
  'gpt-5.2': openai(1.75, 0.175, 14),
  'gpt-5-mini': openai(0.25, 0.025, 2),
  'gpt-4.1': openai(2, 0.5, 8),
  // https://developers.openai.com/api/docs/models and its pages for each model: cached input costs a tenth of the
  // input, cache writes 1.25 times
  'gpt-6-astra': withLong({ input: 10, cache_read: 1, cache_write: 12.5, output: 50 }, LONG),
  'gpt-6.2-sol': withLong({ input: 2, cache_read: 0.1, cache_write: 2.5, output: 10 }, LONG),
  'gpt-6.1-sol': withLong({ input: 2, cache_read: 0.1, cache_write: 2.5, output: 10 }, LONG),
  'gpt-6-sol': withLong({ input: 2, cache_read: 0.2, cache_write: 2.5, output: 10 }, LONG),
  'gpt-6-luna': withLong({ input: 0.1, cache_read: 0.01, cache_write: 0.125, output: 0.5 }, LONG),
  'gpt-5.6-sol': withLong({ input: 4, cache_read: 0.4, cache_write: 5, output: 20 }, LONG),
  'gpt-5-codex': openai(1.25, 0.125, 10),
  'gpt-5': openai(1.25, 0.125, 10),
}

/** Matches the suffix with which services name a snapshot of a model. */
const SNAPSHOT = /-(latest|\d{8}|\d{4}-\d{2}-\d{2})$/

/** Returns the price of a model, or undefined if none is known. Agents add `[1m]` to request a longer context. */
export function priceOf(prices: Prices, model: string): Price | undefined {
  const name = model.replace(/\[1m\]$/, '')
  const own = (key: string) => (Object.hasOwn(prices, key) ? prices[key] : undefined)
  return own(name) ?? own(name.replace(SNAPSHOT, ''))
}

/** Tokens as a service counts them; `cache_write_hour` is the part of `cache_write` that lasts an hour. */
export interface Counted extends Tokens {
  cache_write_hour?: number
}

/** Returns the cost in US dollars. */
export function costOf(price: Price, tokens: Counted): number {
  const { input, cache_read, cache_write, cache_write_hour: hour = 0, output, reasoning } = tokens
  const isLong = price.long !== undefined && input + cache_read + cache_write > price.long.above
  const rate = isLong ? price.long! : price
  const hourRate = isLong ? rate.cache_write : (price.cache_write_hour ?? price.cache_write)
  const sum =
    input * rate.input +
    cache_read * rate.cache_read +
    (cache_write - hour) * rate.cache_write +
    hour * hourRate +
    (output + reasoning) * rate.output
  return sum / 1_000_000
}

/** Reads the operator's file, a JSON object by model name, and merges it over the list prices. */
export function pricesFrom(file: string | undefined): Prices {
  if (file === undefined) return listPrices
  const wrong = (why: string) =>
    new ErrandError('invalid_argument', `ERRAND_MODEL_PRICES names ${file}, which cannot be used: ${why}.`, {
      hint: 'Write a JSON file such as {"my-model": {"input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25}}, in US dollars per million tokens.',
    })
  let parsed: unknown
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw wrong((error as Error).message)
  }
  const own = z.record(z.string(), Price).safeParse(parsed)
  if (own.success) return { ...listPrices, ...own.data }
  const [{ path, message } = { path: [], message: 'it is not a price table' }] = own.error.issues
  throw wrong([path.join('.'), message].filter((part) => part !== '').join(': '))
}

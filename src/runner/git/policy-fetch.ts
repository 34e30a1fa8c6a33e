import { readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import { endWhenSilent, fixedLookup, SILENCE_MS } from './git-server.ts'
import { GitRefused } from './git-words.ts'
import {
  AllowedOrigins,
  allowEntry,
  type Lookup,
  type ServerCheck,
  serverAddresses,
  systemLookup,
} from './server-addresses.ts'

interface Policy extends ServerCheck {
  /** Trusted certificates, PEM; default: those of the system. */
  caFile?: string
  /** Milliseconds after which a silent server is given up. Default `SILENCE_MS`. */
  silenceMs?: number
}

/** Statuses that have no body. */
const EMPTY = [204, 205, 304]

/**
 * Makes a `fetch` that reaches what Git may reach on this machine, through the same addresses and certificates. It
 * follows no redirect. Throws `source_refused`, and a TypeError with the cause if nothing answers, like `fetch`.
 */
export const policyFetch =
  (policy: Policy): typeof globalThis.fetch =>
  async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input)
    if (url.protocol !== 'https:' && !policy.allow.has(url))
      throw new ErrandError('source_refused', `${url.origin} is not encrypted.`, {
        hint: `Use https://. The operator of the ${policy.machine ?? 'runner'} can allow it: ${policy.variable}=${allowEntry(url)}.`,
      })
    const addresses = await serverAddresses(url, policy).catch(notFound)
    const answer = await sent(url, init, addresses, policy).catch((cause: unknown) => {
      init.signal?.throwIfAborted()
      throw new TypeError('fetch failed', { cause })
    })
    const { statusCode = 500, headers } = answer
    if (init.redirect !== 'manual' && statusCode >= 300 && statusCode < 400 && headers.location) {
      answer.destroy()
      throw new TypeError('fetch failed', { cause: new Error('it redirects') })
    }
    const isEmpty = EMPTY.includes(statusCode)
    if (isEmpty) answer.resume()
    const body = isEmpty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>)
    const all = Object.entries(headers).flatMap(([name, value]) =>
      [value].flat().flatMap((each): [string, string][] => (each === undefined ? [] : [[name, each]])),
    )
    return new Response(body, { status: statusCode, headers: all })
  }

/** Converts an unknown name, or an absent name server, to an ordinary failure: the name may be found a moment later. */
function notFound(error: unknown): never {
  if (!(error instanceof GitRefused) || error.reason !== 'host_unreachable') throw error
  const { code = 'EAI_AGAIN' } = (error.cause ?? {}) as NodeJS.ErrnoException
  throw new TypeError('fetch failed', { cause: Object.assign(new Error(error.message), { code }) })
}

/** Returns a `fetch` for the API of one forge; `api` is the address for it in the operator's own configuration. */
export type ForgeFetch = (api: string | undefined) => typeof globalThis.fetch

/**
 * Makes a hub's access to forges: those on the public internet by https://, the operator's list `allowed` (from
 * `variable`, named in hints), and APIs in its configuration. Each request connects to an address that was looked up
 * and checked for it, whatever the name means a moment later. Throws `invalid_argument` for an invalid list.
 */
export function forgeFetch(allowed: string, variable: string, lookup: Lookup = systemLookup): ForgeFetch {
  const listed = new AllowedOrigins(allowed, variable)
  return (api) => {
    const named = api === undefined ? undefined : URL.parse(api)?.origin
    const allow = { has: (url: URL) => listed.has(url) || url.origin === named }
    return policyFetch({ allow, variable, lookup, machine: 'hub' })
  }
}

async function sent(
  url: URL,
  { method = 'GET', headers, body, signal }: RequestInit,
  addresses: readonly string[],
  { caFile, silenceMs = SILENCE_MS }: Policy,
): Promise<IncomingMessage> {
  const answer = Promise.withResolvers<IncomingMessage>()
  const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
    method,
    agent: false,
    ca: caFile === undefined ? undefined : readFileSync(caFile),
    lookup: fixedLookup(addresses),
    signal: signal ?? undefined,
    headers: Object.fromEntries(new Headers(headers)),
  })
  endWhenSilent(request, silenceMs)
  request.once('response', answer.resolve)
  request.on('error', answer.reject)
  if (typeof body === 'string') request.setHeader('content-length', Buffer.byteLength(body)).write(body)
  request.end()
  return await answer.promise
}

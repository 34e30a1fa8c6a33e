import type * as z from 'zod'
import type { ErrorAnswer } from '../../src/contract/run-api.ts'
import { pageWords } from './page-words.ts'

/** Replaces the message of a refusal when only a program could make sense of the message. */
const UNREADABLE = 'The hub refused this request. Reload the page and try again.'

/** Reports that the hub refused a request or did not answer it (`unavailable`). */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly hint: string | undefined
  readonly details: unknown

  constructor(status: number, { error }: z.infer<typeof ErrorAnswer>) {
    super(pageWords(error.message) ?? UNREADABLE)
    this.status = status
    this.code = error.code
    this.hint = error.hint && pageWords(error.hint)
    this.details = error.details
  }
}

/** The hub's base path, from which the page was served, without its last slash. */
export const basePath = new URL('.', document.baseURI).pathname.replace(/\/$/, '')

/** Returns an address of the hub, such as `/api/runs`, below its base path. */
export function address(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, String(one ?? '')] as [string, string]),
  )
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== '')).toString()
  return `${basePath}${path}${text === '' ? '' : `?${text}`}`
}

/** Query parameters by name; a name with several values is repeated. */
export type Query = Record<string, string | number | readonly string[] | undefined>

interface Ask {
  query?: Query
  body?: unknown
  /** Raw bytes, sent instead of a JSON body. */
  bytes?: Blob
  /** Stays the same until an answer arrives, so that repeating the request is safe when its answer got lost. */
  idempotencyKey?: string
  signal?: AbortSignal | undefined
}

let csrf = ''
let onRefused = (): void => {}

/** Sets the token that every request that changes something sends; a login and `GET /api/me` return it. */
export function setCsrf(value: string): void {
  csrf = value
}
/** Sets the function to call when the hub does not know the session (any more). */
export function whenRefused(call: () => void): void {
  onRefused = call
}

let onBack = (): void => {}
/** Sets the function to call when there is a session again, even if the login was in another tab. */
export function whenSessionBack(call: () => void): void {
  onBack = call
}

const waiting = new Set<() => void>()
/** Asks the person to log in, and resolves once there is a session again. */
export function sessionBack(): Promise<void> {
  onRefused()
  return new Promise((resolve) => waiting.add(resolve))
}
/** Reports that there is a session again, and resolves all calls that wait for one. */
export function announceSessionBack(): void {
  for (const resolve of waiting) resolve()
  waiting.clear()
  onBack()
}

/** Sends a request to the hub and returns the JSON of the answer's body, or undefined if the body is empty. */
export async function ask<T>(method: string, path: string, options: Ask = {}): Promise<T> {
  const response = await request(method, path, options)
  const text = await response.text()
  return (text === '' ? undefined : JSON.parse(text)) as T
}

export async function request(method: string, path: string, options: Ask & { headers?: HeadersInit } = {}) {
  const headers = new Headers({ accept: 'application/json', ...(options.headers as Record<string, string>) })
  if (method !== 'GET') headers.set('x-errand-csrf', csrf)
  if (options.idempotencyKey !== undefined) headers.set('idempotency-key', options.idempotencyKey)
  if (options.body !== undefined) headers.set('content-type', 'application/json')
  if (options.bytes !== undefined) headers.set('content-type', 'application/octet-stream')
  let response: Response
  try {
    response = await fetch(address(path, options.query), {
      method,
      headers,
      credentials: 'same-origin',
      body: options.bytes ?? (options.body === undefined ? null : JSON.stringify(options.body)),
      signal: options.signal ?? null,
    })
  } catch (error) {
    if (options.signal?.aborted) throw error
    throw new ApiError(0, { error: { code: 'unavailable', message: 'The hub is not responding.' } })
  }
  if (response.ok) return response
  const answer = await response.json().catch(() => undefined)
  const failure = answer?.error ?? {
    code: 'internal',
    message: response.status < 500 ? UNREADABLE : 'The hub, or a proxy in front of it, failed to respond.',
  }
  if (response.status === 401 && path !== '/api/auth/login') onRefused()
  throw new ApiError(response.status, { error: failure })
}

/** Returns a key for one request that is sent again until it is answered. (Plain HTTP has no `randomUUID`.) */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { ModelRule } from './rules.ts'

/**
 * Headers of a model request that may come from a box: the version of an API and its betas, accepted types, and the
 * program and session that ask. No other one passes. Services and gateways have headers that say which organization,
 * project or workspace pays, where to forward, and with whose key, and new ones appear; those belong to the operator.
 */
const PASSED = new Set([
  ...['accept', 'accept-language', 'content-type', 'user-agent'],
  ...['anthropic-version', 'anthropic-beta', 'anthropic-dangerous-direct-browser-access', 'openai-beta'],
  ...['originator', 'version', 'session-id', 'session_id', 'conversation_id', 'thread-id'],
  ...['x-app', 'x-client-request-id', 'x-request-id', 'x-session-id', 'x-session-affinity'],
  'x-claude-code-session-id',
])
/** Matches headers with which the services' libraries, and Codex, describe themselves. */
const PASSED_PREFIX = /^x-(?:stainless|codex)-/
/** Matches credentials, whatever a program calls its own. */
const CREDENTIAL = /(^|-)(authorization|auth|key|tokens?|secret|signature|cookies?|credentials?)(-|$)/

/** Reports whether a header may come from a box, by its name in lower case. */
export const mayPass = (name: string): boolean =>
  PASSED.has(name) || (PASSED_PREFIX.test(name) && !CREDENTIAL.test(name))

/** Returns the headers of a request that may be forwarded: none that would give a program in a box another identity. */
export function requestHeaders(headers: IncomingHttpHeaders, rule: ModelRule): Record<string, string> {
  const named = new Set(listed(headers.connection))
  const result: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && mayPass(name) && !named.has(name))
      result[name] = Array.isArray(value) ? value.join(', ') : value
  // So that an answer can be counted and masked.
  result['accept-encoding'] = 'identity'
  for (const [name, value] of Object.entries(rule.headers)) result[name.toLowerCase()] = value
  if (rule.header === 'bearer') result.authorization = `Bearer ${rule.key}`
  else result['x-api-key'] = rule.key
  return result
}

/** Headers that concern one connection, and only its two ends (RFC 9110, 7.6.1). */
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['proxy-connection', 'http2-settings'],
]
/** Headers of an answer that are not forwarded: its length may change where a key is masked in it. */
const NOT_BACK = new Set([...HOP_BY_HOP, 'content-length', 'set-cookie', 'set-cookie2', 'alt-svc'])

export function answerHeaders(
  { headers, headersDistinct }: Pick<IncomingMessage, 'headers' | 'headersDistinct'>,
  mask: (text: string) => string,
): Record<string, string | string[]> {
  const named = new Set(listed(headers.connection))
  const result: Record<string, string | string[]> = {}
  for (const [name, values = []] of Object.entries(headersDistinct))
    if (!NOT_BACK.has(name) && !named.has(name))
      result[name] = values.length === 1 ? mask(values[0]!) : values.map(mask)
  return result
}

const listed = (value: string | undefined): string[] =>
  (value ?? '').split(',').map((each) => each.trim().toLowerCase())

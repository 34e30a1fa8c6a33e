import { ErrandError } from '../../contract/errors.ts'

const SHOWN_CHARACTERS = 200

/**
 * Of a body that Fastify's parser refuses though it is JSON: the name that it takes for an attack, and where that stands.
 * Undefined: it is no JSON.
 */
export function refusedName(body: string): ErrandError | undefined {
  try {
    return refusedIn(JSON.parse(body), 'body')
  } catch {
    return undefined
  }
}

function refusedIn(value: unknown, where: string): ErrandError | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    if (key === '__proto__') return refusal(where, '"__proto__"')
    if (
      key === 'constructor' &&
      typeof inner === 'object' &&
      inner !== null &&
      Object.hasOwn(inner, 'prototype')
    )
      return refusal(where, '"constructor" that has a "prototype"')
    const found = refusedIn(inner, `${where}.${key}`)
    if (found) return found
  }
  return undefined
}

const refusal = (where: string, what: string) =>
  new ErrandError('bad_request', `${where.slice(0, SHOWN_CHARACTERS)}: nothing can be named ${what}.`, {
    hint: 'Choose another name.',
  })

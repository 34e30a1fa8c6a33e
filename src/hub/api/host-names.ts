import { isIP } from 'node:net'

/**
 * Whether a `Host` header cannot come from DNS rebinding: a web page whose own name was made to point at this
 * machine, so that its scripts count as of the same origin. Such a page sends its own name; an address or
 * `localhost` is no page's name, and one that came in from another machine met the hub where it was put on purpose.
 */
export function isSafeHost(
  header: string | undefined,
  localAddress: string | undefined,
  allowed: readonly string[],
): boolean {
  if (header === undefined) return true
  if (localAddress === undefined || !isLoopback(localAddress)) return true
  const name = header
    .replace(/:\d+$/, '')
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase()
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || allowed.includes(name)
}

const isLoopback = (address: string): boolean => /^(::ffff:)?127\.|^::1$/.test(address)

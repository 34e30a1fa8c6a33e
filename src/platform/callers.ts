import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

/**
 * Returns the address that a request comes from, in its shortest form, so that one machine always has the same text.
 */
export type CallerOf = (request: Pick<IncomingMessage, 'headers' | 'socket'>) => string

/**
 * Finds the caller of a request that one of these proxies forwards: the last address in `X-Forwarded-For` that is not
 * such a proxy. Addresses to the left of it were sent by the caller and may be anything. Without proxies the header is
 * ignored. Each proxy is an address or a range (`10.0.0.0/8`). Throws a `RangeError` that names an entry that is
 * neither.
 */
export function callersBehind(proxies: readonly string[]): CallerOf {
  const list = new BlockList()
  for (const proxy of proxies) add(list, proxy)
  const isProxy = (address: string) => list.check(address, familyOf(address))
  return ({ headers, socket }) => {
    let caller = plainAddress(socket.remoteAddress ?? '') ?? 'an unknown address'
    if (proxies.length === 0) return caller
    const hops = String(headers['x-forwarded-for'] ?? '').split(',')
    while (isIP(caller) !== 0 && isProxy(caller)) {
      const before = plainAddress(hops.pop() ?? '')
      // When a proxy does not say where the request came from, that proxy is the last known address.
      if (before === undefined) return caller
      caller = before
    }
    return caller
  }
}

function add(list: BlockList, proxy: string): void {
  const [address = '', prefix, ...rest] = proxy.split('/')
  const family = isIP(address)
  const most = family === 4 ? 32 : 128
  const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (family === 0 || rest.length > 0 || !(bits <= most)) throw new RangeError(proxy)
  const plain = plainAddress(address)!
  const isMapped = family === 6 && isIP(plain) === 4
  if (isMapped && bits < 96) throw new RangeError(proxy)
  list.addSubnet(plain, isMapped ? bits - 96 : bits, familyOf(plain))
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

/**
 * Parses an address as proxies write it: also in brackets, with a port, with a zone, or IPv4 within IPv6. Returns
 * undefined when the text is not an address.
 */
function plainAddress(text: string): string | undefined {
  const written = text.trim().replace(/^"(.*)"$/, '$1')
  const [, bracketed, v4] = /^\[([^\]]+)\](?::\d+)?$|^([\d.]+):\d+$/.exec(written) ?? []
  const address = (bracketed ?? v4 ?? written).replace(/%.*$/, '')
  if (isIP(address) !== 6) return isIP(address) === 4 ? address : undefined
  const shortest = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(shortest) ?? []
  if (high === undefined) return shortest
  const bits = [high, low].map((half) => Number.parseInt(half!, 16))
  return bits.flatMap((half) => [half >> 8, half & 255]).join('.')
}

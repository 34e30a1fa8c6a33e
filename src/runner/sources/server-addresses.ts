import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ErrandError } from '../../contract/errors.ts'
import type { AllowedOrigins } from './allowed-origins.ts'
import { isPublicAddress } from './public-address.ts'

/** The addresses of a name. */
export type Lookup = (host: string) => Promise<readonly string[]>

export const systemLookup: Lookup = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address)

export interface ServerCheck {
  allow: AllowedOrigins
  /** The variable of the operator's list, for hints. */
  variable: string
  lookup: Lookup
}

/**
 * The addresses of a URL's server; connect to no other, as the next look-up may answer something else. Throws
 * `source_refused` where one of them is not public, or is of this machine, and the operator has not allowed the server.
 */
export async function serverAddresses(url: URL, check: ServerCheck): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const addresses = isIP(host) ? [host] : await found(host, check.lookup)
  if (check.allow.has(url)) return addresses
  const own = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? [])
  const inner = addresses.find((address) => !isPublicAddress(address) || own.includes(address))
  if (inner === undefined) return addresses
  const at = inner === host ? host : `${host} (${inner})`
  throw new ErrandError('source_refused', `${at} is not on the public internet.`, {
    hint: `The operator of the runner can allow it: ${check.variable}=${allowEntry(url)}.`,
  })
}

/** How a list of allowed servers names this one. */
export const allowEntry = (url: URL) => (url.protocol === 'https:' ? url.host : url.origin)

async function found(host: string, look: Lookup): Promise<readonly string[]> {
  const addresses = await look(host).catch((cause: Error) => {
    throw notFound(host, cause)
  })
  if (addresses.length > 0 && addresses.every((address) => isIP(address) !== 0)) return addresses
  throw notFound(host)
}

const notFound = (host: string, cause?: Error) =>
  new ErrandError('source_refused', `The address of ${host} cannot be found.`, {
    hint: "Check the name, and the runner's network.",
    cause,
  })

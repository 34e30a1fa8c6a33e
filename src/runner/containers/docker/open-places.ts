import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { ErrandError } from '../../../contract/errors.ts'
import type { AllowedPlace } from './network-settings.ts'

/** An address that bots may reach although its range is closed. */
export interface OpenPlace {
  address: string
  port: number
}

const DNS_PORT = 53
/** Where engines look for the machine's name servers; the second where the first names only a stub on loopback. */
const RESOLVER_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']

/** The machine's name servers, which a bot's own questions go to, and what the operator allows. */
export async function openPlaces(allow: readonly AllowedPlace[]): Promise<OpenPlace[]> {
  const servers = await Promise.all(RESOLVER_FILES.map(nameServers))
  const places = await Promise.all(allow.map(placesOf))
  const open = [...servers.flat().map((address) => ({ address, port: DNS_PORT })), ...places.flat()]
  const unique = new Map(open.map((place) => [`${place.address}:${place.port}`, place]))
  return [...unique.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place)
}

async function nameServers(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address]) => address!)
  // The engine itself asks one on loopback: no packet of a bot goes there.
  return found.filter((address) => isIPv4(address) && !address.startsWith('127.'))
}

async function placesOf({ host, port }: AllowedPlace): Promise<OpenPlace[]> {
  try {
    const found = await lookup(host, { all: true, family: 4 })
    return found.map(({ address }) => ({ address, port }))
  } catch (error) {
    throw new ErrandError('unavailable', `No address is found for ${host}, which ERRAND_BOT_ALLOW names.`, {
      hint: 'Correct the name, or write its IPv4 address.',
      cause: error,
    })
  }
}

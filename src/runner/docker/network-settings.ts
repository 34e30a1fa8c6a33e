import { isIPv4 } from 'node:net'
import { type Env, setting } from '../../config/read-setting.ts'
import { ErrandError } from '../../contract/errors.ts'

/** Place that the operator opens to bots although its address is private. */
export interface AllowedPlace {
  /** Name or IPv4 address. */
  host: string
  port: number
}

export interface NetworkSettings {
  name: string
  /** Program that closes it: this process with iptables, or something else. */
  guard: 'iptables' | 'external'
  allow: readonly AllowedPlace[]
  /** Range of the builds' networks. */
  buildSubnets: Ipv4Range
}

/** Addresses as numbers; the leading `bits` of `first` are common to all. */
export interface Ipv4Range {
  first: number
  bits: number
}

const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,99}$/
const HOST_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$/
const OTHER_NETWORKS = ['bridge', 'host', 'none', 'default', 'container']

export function networkSettings(env: Env): NetworkSettings {
  const name = setting(env, 'DOCKER_NETWORK')
  if (!NETWORK_NAME.test(name) || OTHER_NETWORKS.includes(name))
    throw refused(
      'DOCKER_NETWORK',
      name,
      'Name a separate network for bots. Use only letters, digits, "_", "." and "-".',
    )
  const guard = setting(env, 'ERRAND_BOT_NETWORK_GUARD')
  const allow = setting(env, 'ERRAND_BOT_ALLOW').map(allowedPlace)
  return { name, guard, allow, buildSubnets: range(setting(env, 'ERRAND_BUILD_SUBNETS')) }
}

function range(text: string): Ipv4Range {
  const [, address = '', bits] = /^([\d.]+)\/(\d\d?)$/.exec(text) ?? []
  const first = ipv4Number(address)
  const isRange = isIPv4(address) && Number(bits) >= 8 && Number(bits) <= 28
  if (!isRange || first % 2 ** (32 - Number(bits)) !== 0)
    throw refused(
      'ERRAND_BUILD_SUBNETS',
      text,
      'Set a range of IPv4 addresses that is used for nothing else, from /8 to /28, such as 198.18.0.0/16.',
    )
  return { first, bits: Number(bits) }
}

export const rangeText = ({ first, bits }: Ipv4Range): string =>
  `${[24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.')}/${bits}`

export const ipv4Number = (address: string): number =>
  address.split('.').reduce((number, part) => number * 256 + Number(part), 0)

function allowedPlace(text: string): AllowedPlace {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, Math.max(colon, 0))
  const port = Number(text.slice(colon + 1))
  const isHost = /^[\d.]*$/.test(host) ? isIPv4(host) : HOST_NAME.test(host)
  if (!isHost || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw refused('ERRAND_BOT_ALLOW', text, 'Write a list such as db.internal:5432,10.0.0.7:8080.')
  return { host, port }
}

function refused(variable: string, value: string, hint: string): ErrandError {
  return new ErrandError('invalid_argument', `${variable} is ${JSON.stringify(value)}, which is not valid.`, {
    hint,
  })
}

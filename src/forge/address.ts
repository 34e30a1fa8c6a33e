import { ErrandError } from '../contract/errors.ts'
import type { ForgeKind } from '../contract/tasks/forge.ts'

/** A repository as an address names it. */
export interface RepositoryAddress {
  /** Lower case, with the port unless it is the protocol's default. */
  host: string
  /** `owner/name`, for GitLab with all groups; without `.git`. */
  path: string
  /** Protocol of the forge's pages and API; `https` for an SSH address. */
  protocol: 'https' | 'http'
}

export interface IssueAddress extends RepositoryAddress {
  number: number
  /** The forge, if the address alone shows it: `/-/` is GitLab's. */
  kind: ForgeKind | undefined
}

/** Matches names that forges accept; "." and ".." are not valid. */
const NAME = /^(?!\.{1,2}$)[\w.-]{1,255}$/

/**
 * Parses `https://host/owner/name(.git)`, `ssh://git@host/owner/name.git` and `git@host:owner/name.git`. Drops
 * credentials in it. Throws `invalid_argument`.
 */
export function repositoryAddress(given: string): RepositoryAddress {
  const text = given.trim()
  const scp = /^(?:[\w.-]+@)?([\w.-]+):(?!\/\/)\/?(.+)$/.exec(text)
  if (scp !== null && !text.includes('://'))
    return { host: scp[1]!.toLowerCase(), path: pathOf(scp[2]!.split('/'), given), protocol: 'https' }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^(https?|ssh|git\+ssh):$/.test(url.protocol) || url.hostname === '')
    throw noAddress(given)
  const isSsh = url.protocol.includes('ssh')
  return {
    // The port of an SSH server is not that of the pages.
    host: (isSsh ? url.hostname : url.host).toLowerCase(),
    path: pathOf(decoded(url.pathname, given).split('/').filter(Boolean), given),
    protocol: url.protocol === 'http:' ? 'http' : 'https',
  }
}

/**
 * Returns the server of a repository's address in the form of `RepositoryAddress`, or undefined if the address does
 * not clearly name one.
 */
export function repositoryHost(given: string): string | undefined {
  try {
    return repositoryAddress(given).host
  } catch {
    const url = URL.parse(given)
    return url && /^https?:$/.test(url.protocol) && url.host !== '' ? url.host.toLowerCase() : undefined
  }
}

/** Reports whether the server of a repository's address is clearly one of these (`host` or `host:port`). */
export function isAtHosts(given: string, hosts: readonly string[]): boolean {
  const host = repositoryHost(given)
  return host !== undefined && hosts.some((each) => each.toLowerCase() === host)
}

/**
 * Reports whether the address `given` names this repository, ignoring case. An address that names no repository does
 * not.
 */
export function isRepository(
  given: string,
  { host, path }: Pick<RepositoryAddress, 'host' | 'path'>,
): boolean {
  try {
    const address = repositoryAddress(given)
    return address.host === host.toLowerCase() && address.path.toLowerCase() === path.toLowerCase()
  } catch {
    return false
  }
}

/**
 * Parses an issue's address, `https://host/o/r/issues/12` or GitLab's `https://host/g/h/r/-/issues/12`; returns
 * undefined for any other. Ignores a query or anchor after the number. Rejects a login before the host, because it
 * can look like another host.
 */
export function issueAddress(given: string): IssueAddress | undefined {
  const url = webAddress(given)
  const found = /^\/(.+?)(\/-)?\/(?:issues|work_items)\/([1-9]\d{0,14})\/?$/.exec(url?.pathname ?? '')
  if (url === undefined || found === null) return undefined
  const [, path = '', dash, number] = found
  try {
    return {
      ...repositoryAddress(`${url.protocol}//${url.host}/${path}`),
      number: Number(number),
      kind: dash === undefined ? undefined : 'gitlab',
    }
  } catch {
    return undefined
  }
}

/** Reports whether it is the address of a pull or merge request at any forge. */
export const isPullAddress = (given: string): boolean =>
  /^\/.+\/(?:pulls?|merge_requests)\/\d+(?:\/|$)/.test(webAddress(given)?.pathname ?? '')

/**
 * Parses a web address. URL parsers drop some characters and treat backslashes as slashes, so a text with these is
 * rejected.
 */
function webAddress(given: string): URL | undefined {
  const text = given.trim()
  if (/[\s\\\p{Cc}]/u.test(text) || !/^https?:\/\/[^/?#@]+\//i.test(text)) return undefined
  return URL.parse(text) ?? undefined
}

function pathOf(given: readonly string[], whole: string): string {
  const names = given.filter(Boolean)
  const last = names.length - 1
  if (last >= 0) names[last] = names[last]!.replace(/\.git$/, '')
  if (names.length < 2 || names.length > 21 || !names.every((name) => NAME.test(name))) throw noAddress(whole)
  return names.join('/')
}

function decoded(path: string, whole: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw noAddress(whole)
  }
}

const noAddress = (given: string) =>
  new ErrandError('invalid_argument', `"${withoutLogin(given)}" is no address of a repository.`, {
    hint: 'Write it as https://HOST/OWNER/NAME or git@HOST:OWNER/NAME.git',
  })

/** Removes everything before the host of an address, because it may be a credential. */
export const withoutLogin = (address: string): string => address.replace(/^(\w[\w+.-]*:\/\/)[^/?#]*@/, '$1')

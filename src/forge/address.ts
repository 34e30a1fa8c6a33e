import { ErrandError } from '../contract/errors.ts'
import type { ForgeKind } from '../contract/tasks/forge.ts'

/** Describes the repository that an address names. */
export interface RepositoryAddress {
  /** Host in lower case, with the port unless it is the protocol's default. */
  host: string
  /** `owner/name`, without `.git`; on GitLab with all groups. */
  path: string
  /** Protocol of the forge's pages and API; `https` for an SSH address. */
  protocol: 'https' | 'http'
}

export interface IssueAddress extends RepositoryAddress {
  number: number
  /** Kind of the forge, if the address alone reveals it: only GitLab uses `/-/`. */
  kind: ForgeKind | undefined
}

/** Matches a name that forges accept; "." and ".." are not names. */
const NAME = /^(?!\.{1,2}$)[\w.-]{1,255}$/

/**
 * Reads `https://host/owner/name(.git)`, `ssh://git@host/owner/name.git` and `git@host:owner/name.git`. Ignores
 * credentials in the address. Throws `invalid_argument`.
 */
export function repositoryAddress(address: string): RepositoryAddress {
  const text = address.trim()
  const scp = /^(?:[\w.-]+@)?([\w.-]+):(?!\/\/)\/?(.+)$/.exec(text)
  if (scp !== null && !text.includes('://'))
    return { host: scp[1]!.toLowerCase(), path: pathOf(scp[2]!.split('/'), address), protocol: 'https' }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^(https?|ssh|git\+ssh):$/.test(url.protocol) || url.hostname === '')
    throw noAddress(address)
  const isSsh = url.protocol.includes('ssh')
  return {
    // An SSH server has a different port than the pages.
    host: (isSsh ? url.hostname : url.host).toLowerCase(),
    path: pathOf(decoded(url.pathname, address).split('/').filter(Boolean), address),
    protocol: url.protocol === 'http:' ? 'http' : 'https',
  }
}

/** Returns the host of a repository's address in the form of `RepositoryAddress`, or undefined if it is uncertain. */
export function repositoryHost(text: string): string | undefined {
  try {
    return repositoryAddress(text).host
  } catch {
    const url = URL.parse(text)
    return url && /^https?:$/.test(url.protocol) && url.host !== '' ? url.host.toLowerCase() : undefined
  }
}

/** Reports whether the host of a repository's address is certainly one of `hosts` (`host` or `host:port`). */
export function isAtHosts(text: string, hosts: readonly string[]): boolean {
  const host = repositoryHost(text)
  return host !== undefined && hosts.some((each) => each.toLowerCase() === host)
}

/** Reports whether the address `given` names this repository, regardless of case; false for an invalid address. */
export function isRepository(
  text: string,
  { host, path }: Pick<RepositoryAddress, 'host' | 'path'>,
): boolean {
  try {
    const address = repositoryAddress(text)
    return address.host === host.toLowerCase() && address.path.toLowerCase() === path.toLowerCase()
  } catch {
    return false
  }
}

/**
 * Reads the address of an issue, such as `https://host/o/r/issues/12` or GitLab's `https://host/g/h/r/-/issues/12`.
 * Ignores a query and an anchor. Returns undefined for anything else, also for an address with a login, since a reader
 * may take the login for the host.
 */
export function issueAddress(text: string): IssueAddress | undefined {
  const url = webAddress(text)
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

/** Reports whether `given` is the address of a pull or merge request on any forge. */
export const isPullAddress = (text: string): boolean =>
  /^\/.+\/(?:pulls?|merge_requests)\/\d+(?:\/|$)/.test(webAddress(text)?.pathname ?? '')

/** Parses a web address. Rejects white space, control characters and backslashes, which URL parsers drop or rewrite. */
function webAddress(address: string): URL | undefined {
  const text = address.trim()
  if (/[\s\\\p{Cc}]/u.test(text) || !/^https?:\/\/[^/?#@]+\//i.test(text)) return undefined
  return URL.parse(text) ?? undefined
}

function pathOf(parts: readonly string[], whole: string): string {
  const names = parts.filter(Boolean)
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

const noAddress = (text: string) =>
  new ErrandError('invalid_argument', `"${withoutLogin(text)}" is not a valid repository address.`, {
    hint: 'Write it as https://HOST/OWNER/NAME or git@HOST:OWNER/NAME.git',
  })

/** Returns an address without the part before its host, which may be a credential. */
export const withoutLogin = (address: string): string => address.replace(/^(\w[\w+.-]*:\/\/)[^/?#]*@/, '$1')

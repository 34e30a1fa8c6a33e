import { ErrandError } from '../contract/errors.ts'
import type { ForgeKind } from '../contract/tasks/forge.ts'

/** A repository as an address names it. */
export interface RepositoryAddress {
  /** Lower case, with a port that is not the protocol's usual one. */
  host: string
  /** `owner/name`, of GitLab with all groups; without `.git`. */
  path: string
  /** Of the forge's pages and API; `https` for an SSH address. */
  protocol: 'https' | 'http'
}

export interface IssueAddress extends RepositoryAddress {
  number: number
  /** The forge, where the address alone says it: `/-/` is GitLab's. */
  kind: ForgeKind | undefined
}

/** Names as forges take them; "." and ".." are none. */
const NAME = /^(?!\.{1,2}$)[\w.-]{1,255}$/

/**
 * Reads `https://host/owner/name(.git)`, `ssh://git@host/owner/name.git` and `git@host:owner/name.git`. Credentials in it are left
 * aside. Throws `invalid_argument`.
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

/** The server of a repository's address, as `RepositoryAddress` has it; undefined where it does not say for sure. */
export function repositoryHost(given: string): string | undefined {
  try {
    return repositoryAddress(given).host
  } catch {
    const url = URL.parse(given)
    return url && /^https?:$/.test(url.protocol) && url.host !== '' ? url.host.toLowerCase() : undefined
  }
}

/** Whether the server of a repository's address is one of these (`host` or `host:port`), for sure. */
export function isAtHosts(given: string, hosts: readonly string[]): boolean {
  const host = repositoryHost(given)
  return host !== undefined && hosts.some((each) => each.toLowerCase() === host)
}

/** Whether the address `given` names this repository, however its letters are written; one that names none does not. */
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
 * Reads an issue's address; undefined where it is none. `https://host/o/r/issues/12`, GitLab's `https://host/g/h/r/-/issues/12`.
 * What follows the number as a query or an anchor is left aside. One with a login before its host is none: it reads as
 * another host's.
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

/** Whether it is the address of a pull or merge request, at any forge. */
export const isPullAddress = (given: string): boolean =>
  /^\/.+\/(?:pulls?|merge_requests)\/\d+(?:\/|$)/.test(webAddress(given)?.pathname ?? '')

/** Readers of addresses drop some characters, and take backslashes for slashes: what has them is none here. */
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

/** An address without what stands before its host, which may be a credential. */
export const withoutLogin = (address: string): string => address.replace(/^(\w[\w+.-]*:\/\/)[^/?#]*@/, '$1')

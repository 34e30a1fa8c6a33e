import { ErrandError } from '../../contract/errors.ts'
import type { AllowedOrigins } from './allowed-origins.ts'
import { allowEntry } from './server-addresses.ts'

const MAX_LENGTH = 2048

/**
 * The URL of a repository, in its one normal form. Throws `source_refused` for all but https:// (http:// where the
 * operator allows that server), and repeats nothing of what may be a password.
 */
export function gitUrl(text: string, allow: AllowedOrigins, variable: string): URL {
  const refuse = (why: string, hint = EXAMPLE) =>
    new ErrandError('source_refused', `The address of the repository ${why}.`, { hint })
  if (text.length > MAX_LENGTH) throw refuse(`is longer than ${MAX_LENGTH} characters`)
  if (/[\s\\\p{Cc}]/u.test(text)) throw refuse('has a space, a backslash or a control character in it')
  if (!/^https?:\/\//i.test(text)) throw refuse('does not begin with https://')
  const url = URL.parse(text)
  if (url === null || url.hostname === '') throw refuse('is no URL')
  if (url.hostname.endsWith('.')) throw refuse('has a server name that ends with "."')
  if (url.username !== '' || url.password !== '' || text.split('/')[2]!.includes('@'))
    throw refuse('has a user name or a password in it', PRIVATE)
  if (text.includes('?') || text.includes('#')) throw refuse('has a "?" or "#" in it')
  if (/%(?:[01][0-9a-f]|7f)/i.test(url.pathname)) throw refuse('has a control character in it')
  url.pathname = url.pathname.replace(/\/+$/, '')
  if (url.pathname === '/') throw refuse('names a server, but no repository on it')
  if (url.protocol === 'http:' && !allow.has(url))
    throw refuse(
      'is not encrypted',
      `Use https://. The operator of the runner can allow it: ${variable}=${allowEntry(url)}.`,
    )
  return url
}

export const EXAMPLE = 'Write it as https://host/owner/repository.git.'
/** For what needs a login. */
export const PRIVATE = 'Give a token for a private one: --git-token, or "git_auth" beside "git_url".'

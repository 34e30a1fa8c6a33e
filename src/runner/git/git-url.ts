import { ErrandError } from '../../contract/errors.ts'
import { type AllowedOrigins, allowEntry } from './server-addresses.ts'

const MAX_URL_LENGTH = 2048

/**
 * Parses the URL of a repository to its single normal form. Throws `source_refused` for all but https:// (http:// if
 * the operator allows that server); the error repeats nothing that may be a password.
 */
export function gitUrl(text: string, allow: Pick<AllowedOrigins, 'has'>, variable: string): URL {
  const refuse = (why: string, hint = URL_EXAMPLE) =>
    new ErrandError('source_refused', `The address of the repository ${why}.`, { hint })
  if (text.length > MAX_URL_LENGTH) throw refuse(`is longer than ${MAX_URL_LENGTH} characters`)
  if (/[\s\\\p{Cc}]/u.test(text)) throw refuse('contains a space, a backslash or a control character')
  if (!/^https?:\/\//i.test(text)) throw refuse('does not begin with https://')
  const url = URL.parse(text)
  if (url === null || url.hostname === '') throw refuse('is not a valid URL')
  if (url.hostname.endsWith('.')) throw refuse('has a server name that ends with "."')
  if (url.username !== '' || url.password !== '' || text.split('/')[2]!.includes('@'))
    throw refuse('contains a user name or a password', PRIVATE_HINT)
  if (text.includes('?') || text.includes('#')) throw refuse('contains "?" or "#"')
  if (/%(?:[01][0-9a-f]|7f)/i.test(url.pathname)) throw refuse('contains a control character')
  url.pathname = url.pathname.replace(/\/+$/, '')
  if (url.pathname === '/') throw refuse('names a server but no repository')
  if (url.protocol === 'http:' && !allow.has(url))
    throw refuse(
      'is not encrypted',
      `Use https://. The operator of the runner can allow it: ${variable}=${allowEntry(url)}.`,
    )
  return url
}

export const URL_EXAMPLE = 'Write it as https://host/owner/repository.git.'
/** Hint for a repository that needs a login. */
export const PRIVATE_HINT =
  'For a private repository, provide a token: --git-token, or "git_auth" beside "git_url".'

const MAX_REF_LENGTH = 255

/** Reports whether it is a full commit id, of SHA-1 or SHA-256. */
export const isCommitId = (ref: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/i.test(ref)

/** Throws `source_refused` unless it is a name of a branch or tag (git check-ref-format) or a full commit id. */
export function checkGitRef(ref: string): void {
  const why = refFault(ref)
  if (why === undefined) return
  const shown = JSON.stringify(ref.slice(0, 100))
  throw new ErrandError('source_refused', `${shown} is not a valid branch, tag or commit: it ${why}.`, {
    hint: 'Name a branch, a tag or a full commit id, such as main or v1.2.',
  })
}

function refFault(ref: string): string | undefined {
  if (ref === '' || ref === '@') return 'is not a name'
  if (ref.length > MAX_REF_LENGTH) return `is longer than ${MAX_REF_LENGTH} characters`
  if (ref.startsWith('-')) return 'begins with "-"'
  if (/[\p{Cc}\p{Cs}\s~^:?*[\\]/u.test(ref)) return 'contains a space or one of ~ ^ : ? * [ \\'
  if (ref.includes('..') || ref.includes('@{')) return 'contains ".." or "@{"'
  if (ref.endsWith('.')) return 'ends with "."'
  const parts = ref.split('/')
  if (parts.some((part) => part === '' || part.startsWith('.') || part.endsWith('.lock')))
    return 'has a part that is empty, begins with "." or ends with ".lock"'
  return undefined
}

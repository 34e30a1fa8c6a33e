import type { FastifyRequest } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import type { BuiltPage } from '../../page/built-page.ts'

const NAME = 'errand_session'

/** The session that the request's cookie holds, where it is one: an API token has no business there. */
export function cookieToken({
  headers: { cookie = '' },
}: Pick<FastifyRequest, 'headers'>): string | undefined {
  for (const part of cookie.split(';')) {
    const at = part.indexOf('=')
    if (part.slice(0, at).trim() !== NAME) continue
    const value = part.slice(at + 1).trim()
    return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(value) ? value : undefined
  }
  return undefined
}

/**
 * The `Set-Cookie` that hands out a session, or takes it back. It is `Secure` where the browser says that it speaks https:
 * the hub itself speaks http, behind a proxy too.
 */
export function sessionCookie(
  { headers: { origin } }: Pick<FastifyRequest, 'headers'>,
  { token, expires_at, page }: { token?: string; expires_at?: string; page?: Pick<BuiltPage, 'basePath'> },
): string {
  const seconds =
    expires_at === undefined ? 0 : Math.max(0, Math.round((Date.parse(expires_at) - Date.now()) / 1000))
  const parts = [`${NAME}=${token ?? ''}`, `Path=${page?.basePath || '/'}`, `Max-Age=${seconds}`]
  if (origin?.startsWith('https:')) parts.push('Secure')
  return [...parts, 'HttpOnly', 'SameSite=Strict'].join('; ')
}

/**
 * Throws `forbidden` where a browser says that another page than the hub's own sends the request. `Sec-Fetch-Site` counts
 * before `Origin`, which is compared with the host: a proxy may pass on another one. A program sends neither.
 */
export function checkOrigin({ headers }: Pick<FastifyRequest, 'headers'>, hosts: readonly string[]): void {
  const { 'sec-fetch-site': site, origin, host } = headers
  if (site === 'same-origin' || site === 'none') return
  if (site === undefined && (origin === undefined || isOwn(origin, host, hosts))) return
  throw new ErrandError('forbidden', `This request comes from a page of another origin${named(origin)}.`, {
    hint: "Where that is this hub's own behind a proxy: let the proxy pass on the Host, or put the name into ERRAND_HOST_ALLOW.",
  })
}

const named = (origin: string | undefined): string =>
  origin === undefined ? '' : `, ${origin.slice(0, 200)}`

function isOwn(origin: string, host: string | undefined, hosts: readonly string[]): boolean {
  const url = URL.parse(origin)
  return url !== null && (url.host === host?.toLowerCase() || hosts.includes(url.hostname))
}

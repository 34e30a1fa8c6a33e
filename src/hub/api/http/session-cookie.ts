import type { FastifyRequest } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import type { BuiltPage } from '../../page/built-page.ts'

const NAME = 'errand_session'
const BROWSER = 'errand_browser'

/** Seconds that a browser is recognized without a login. Browsers allow no longer time. */
const BROWSER_SECONDS = 400 * 24 * 60 * 60

type CookieRequest = Pick<FastifyRequest, 'headers'>
type Served = Pick<BuiltPage, 'basePath'> | undefined

/** Returns the session in the request's cookie. An API token in it is ignored. */
export const cookieToken = (request: CookieRequest): string | undefined =>
  cookieNamed(request, NAME, /^[\w-]+\.[\w-]+\.[\w-]+$/)

/** Returns the mark of a browser in which somebody has logged in, as it was sent. */
export const browserMark = (request: CookieRequest): string | undefined =>
  cookieNamed(request, BROWSER, /^[\w-]{22}\.[\w-]{43}$/)

function cookieNamed(
  { headers: { cookie = '' } }: CookieRequest,
  name: string,
  form: RegExp,
): string | undefined {
  for (const part of cookie.split(';')) {
    const at = part.indexOf('=')
    if (part.slice(0, at).trim() !== name) continue
    const value = part.slice(at + 1).trim()
    return form.test(value) ? value : undefined
  }
  return undefined
}

/** Returns the `Set-Cookie` header that sets or clears the session. */
export function sessionCookie(
  request: CookieRequest,
  { token = '', expires_at, page }: { token?: string; expires_at?: string; page?: Served },
): string {
  const seconds =
    expires_at === undefined ? 0 : Math.max(0, Math.round((Date.parse(expires_at) - Date.now()) / 1000))
  return cookieText(request, { name: NAME, value: token, seconds, page })
}

/** Returns the `Set-Cookie` header that marks a browser. The mark outlives the session and grants no access. */
export const browserCookie = (
  request: CookieRequest,
  { mark, page }: { mark: string; page?: Served },
): string => cookieText(request, { name: BROWSER, value: mark, seconds: BROWSER_SECONDS, page })

/**
 * Formats a cookie, with `Secure` if the browser says that it uses https. The hub itself speaks http, also behind a
 * proxy.
 */
function cookieText(
  { headers: { origin } }: CookieRequest,
  { name, value, seconds, page }: { name: string; value: string; seconds: number; page?: Served },
): string {
  const parts = [`${name}=${value}`, `Path=${page?.basePath || '/'}`, `Max-Age=${seconds}`]
  if (origin?.startsWith('https:')) parts.push('Secure')
  return [...parts, 'HttpOnly', 'SameSite=Strict'].join('; ')
}

/**
 * Throws `forbidden` if the browser says that a page other than the hub's own sends the request. `Sec-Fetch-Site` has
 * priority over `Origin`, which is compared with the host that a proxy may have changed. Programs send neither.
 */
export function checkOrigin({ headers }: Pick<FastifyRequest, 'headers'>, hosts: readonly string[]): void {
  const { 'sec-fetch-site': site, origin, host } = headers
  if (site === 'same-origin' || site === 'none') return
  if (site === undefined && (origin === undefined || isOwn(origin, host, hosts))) return
  throw new ErrandError('forbidden', `This request comes from a page with another origin${named(origin)}.`, {
    hint: "If the page is this hub's own, behind a proxy: make the proxy forward the Host header, or add the name to ERRAND_HOST_ALLOW.",
  })
}

const named = (origin: string | undefined): string =>
  origin === undefined ? '' : `, ${origin.slice(0, 200)}`

function isOwn(origin: string, host: string | undefined, hosts: readonly string[]): boolean {
  const url = URL.parse(origin)
  return url !== null && (url.host === host?.toLowerCase() || hosts.includes(url.hostname))
}

import { queryOptions } from '@tanstack/react-query'
import { ask, setCsrf } from './api.ts'
import { setHubTime } from './clock.ts'

/** The person that the page acts as. */
export interface Me {
  name: string
  role: 'admin' | 'user'
  tenant: string
  csrf: string
  expires_at?: string
  version?: string
  now?: string
}

let whose: string | undefined
/** Returns the name of the person that the page belongs to, once the hub has reported it. */
export const personHere = () => whose

export async function whoAmI(signal?: AbortSignal): Promise<Me> {
  const me = await ask<Me>('GET', '/api/me', { signal })
  whose ??= me.name
  if (whose !== me.name) {
    // Another person has logged in: they must not see what this page shows or what was typed on it.
    location.reload()
    await new Promise(() => {})
  }
  setCsrf(me.csrf)
  if (me.now !== undefined) setHubTime(Date.parse(me.now))
  return me
}

export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: ({ signal }) => whoAmI(signal),
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
})

export async function logIn(username: string, password: string): Promise<void> {
  const answer = await ask<{ csrf: string }>('POST', '/api/auth/login', {
    body: { username, password, cookie: true },
  })
  setCsrf(answer.csrf)
}

export const logOut = (everywhere: boolean) => ask('POST', '/api/auth/logout', { body: { everywhere } })

/** Returns the path to open after a login: always a path of this hub, never an address elsewhere. */
export function safeNext(next: unknown): string {
  if (typeof next !== 'string' || !/^\/(?![/\\])/.test(next)) return '/runs'
  return next.startsWith('/login') ? '/runs' : next
}

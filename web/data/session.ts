import { queryOptions } from '@tanstack/react-query'
import { ask, setCsrf } from './api.ts'
import { setHubTime } from './clock.ts'

/** Who the page acts as. */
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
/** The name of the person whose page it is, once the hub has told it. */
export const personHere = () => whose

export async function whoAmI(signal?: AbortSignal): Promise<Me> {
  const me = await ask<Me>('GET', '/api/me', { signal })
  whose ??= me.name
  if (whose !== me.name) {
    // What stands on the page, and is typed there, is not for who has logged in now.
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

/** Where a login leads: a path of this hub alone, never an address of another. */
export function safeNext(next: unknown): string {
  if (typeof next !== 'string' || !/^\/(?![/\\])/.test(next)) return '/runs'
  return next.startsWith('/login') ? '/runs' : next
}

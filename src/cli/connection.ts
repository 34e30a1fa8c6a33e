import { ErrandClient } from '../client/client.ts'
import { clientEnvironment } from '../config/environment.ts'
import { type Login, localHub, savedLogin } from './saved-login.ts'

const DEFAULT_URL = 'http://127.0.0.1:3000'

/** Which hub, and with what token: options first, then the environment, then the login, then the hub started here. */
export function connection(given: { url?: string; token?: string }): { url: string; token?: string } {
  const env = clientEnvironment(process.env)
  const known = [savedLogin(), localHub()].filter((login): login is Login => login !== undefined)
  const url = given.url ?? env.url ?? known[0]?.url ?? DEFAULT_URL
  const token = given.token ?? env.token ?? known.find((login) => sameHub(login.url, url))?.token
  return { url, token }
}

const sameHub = (a: string, b: string): boolean => a.replace(/\/+$/, '') === b.replace(/\/+$/, '')

export const connect = (given: { url?: string; token?: string }): ErrandClient =>
  new ErrandClient(connection(given))

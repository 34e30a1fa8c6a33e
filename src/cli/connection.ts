import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandClient } from '../client/client.ts'
import { clientEnvironment } from '../config/environment.ts'
import { ErrandError } from '../contract/errors.ts'
import { writeFileAtomic } from '../platform/files.ts'
import { Backoff } from '../platform/time.ts'
import { dataFolder, errandHome } from './local/errand-home.ts'

const DEFAULT_URL = 'http://127.0.0.1:3000'

/** Picks the hub and its token: from the options, else the environment, the saved login, or the hub started here. */
export function connection(options: { url?: string; token?: string }): { url: string; token?: string } {
  const env = clientEnvironment(process.env)
  const known = [savedLogin(), localHub()].filter((login): login is Login => login !== undefined)
  const url = options.url ?? env.url ?? known[0]?.url ?? DEFAULT_URL
  const token = options.token ?? env.token ?? known.find((login) => sameHub(login.url, url))?.token
  return { url, token }
}

const sameHub = (a: string, b: string): boolean => a.replace(/\/+$/, '') === b.replace(/\/+$/, '')

export const connect = (options: { url?: string; token?: string }): ErrandClient =>
  new ErrandClient(connection(options))

/** A hub and a token for it. */
export interface Login {
  url: string
  token: string
}

const loginFile = (): string => join(errandHome(), 'login.json')

/** Returns the file where `errand up` leaves its address and a token for this user's commands on this machine. */
export const localHubFile = (folder: string): string => join(folder, 'local.json')

function read(file: string): Login | undefined {
  try {
    const { url, token } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Login>
    return typeof url === 'string' && typeof token === 'string' ? { url, token } : undefined
  } catch {
    return undefined
  }
}

export const savedLogin = (): Login | undefined => read(loginFile())
export const localHub = (): Login | undefined => read(localHubFile(dataFolder(undefined)))

/** Saves a login in a file that only this user can read. */
export function writeLogin(login: Login, file: string = loginFile()): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileAtomic(file, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 })
}

/** Reports whether a token is the JWT of a login, and not one that was created for a program. */
export const isSession = (token: string): boolean => token.startsWith('eyJ')

export const forgetLogin = (): void => rmSync(loginFile(), { force: true })

/** Time to wait for the hub; the commands that follow a run wait just as long. */
const MAX_WAIT_MS = 300_000

/**
 * Repeats a request for up to five minutes while the hub does not answer or does not conduct the run yet. It is for
 * what a person asks of a run while following it. Repeating the request must be harmless.
 */
export async function whileAway<T>(ask: () => Promise<T>): Promise<T> {
  const backoff = new Backoff({ firstMs: 200, maxMs: 5_000 })
  for (const endMs = performance.now() + MAX_WAIT_MS; ; )
    try {
      return await ask()
    } catch (error) {
      const isAway = error instanceof ErrandError && error.code === 'unavailable'
      if (!isAway || performance.now() > endMs) throw error
      // The command may end in the meantime.
      await sleep(backoff.next(), undefined, { ref: false })
    }
}

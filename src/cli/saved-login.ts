import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeFileAtomic } from '../platform/atomic-file.ts'
import { dataFolder, errandHome } from './errand-home.ts'

/** A hub and what opens it. */
export interface Login {
  url: string
  token: string
}

const loginFile = (): string => join(errandHome(), 'login.json')

/** Where `errand up` leaves its address and a token for the commands of the same user on the same machine. */
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

/** Readable by this user only. */
export function writeLogin(login: Login, file: string = loginFile()): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileAtomic(file, `${JSON.stringify(login, null, 2)}\n`, { mode: 0o600 })
}

/** Tells the JWT of a login from the tokens that are made for programs. */
export const isSession = (token: string): boolean => token.startsWith('eyJ')

export const forgetLogin = (): void => rmSync(loginFile(), { force: true })

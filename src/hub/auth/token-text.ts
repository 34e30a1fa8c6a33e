import { hash, randomBytes } from 'node:crypto'
import type { TokenScope } from '../store/accounts.ts'

/** The prefix says what a token is for, to people and to secret scanners. */
const prefixes: Record<TokenScope, string> = {
  api: 'errand_api_',
  runner: 'errand_runner_',
  enroll: 'errand_enroll_',
  metrics: 'errand_metrics_',
}

/** A new token's text: 256 bits of chance, so that a plain hash of it is enough. */
export const newTokenText = (scope: TokenScope): string =>
  prefixes[scope] + randomBytes(32).toString('base64url')

export const isStoredToken = (text: string): boolean => text.startsWith('errand_')

export const isEnrolmentToken = (text: string): boolean => text.startsWith(prefixes.enroll)

export const tokenSha256 = (text: string): string => hash('sha256', text, 'hex')

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { ForgeKind } from '../contract/tasks/forge.ts'

/** Headers as Node provides them, with names in lower case. */
type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Seconds by which the time of a Standard Webhooks message may differ from the clock, in either direction. */
const TOLERANCE_SECONDS = 300

/**
 * Reports whether the sender of a webhook knows the secret. Checks GitHub's and Gitea's HMAC-SHA256 of the raw body,
 * and for GitLab the Standard Webhooks headers of newer versions if present, or otherwise its token. An empty secret
 * never matches.
 */
export function isSigned(
  kind: ForgeKind,
  headers: Headers,
  body: Uint8Array,
  secret: string,
  nowMs = Date.now(),
): boolean {
  if (secret === '') return false
  if (kind === 'github') {
    const signature = /^sha256=([0-9a-f]{64})$/i.exec(one(headers['x-hub-signature-256']))?.[1]
    return isHmac(signature, body, secret)
  }
  if (kind === 'gitea')
    return isHmac(one(headers['x-forgejo-signature']) || one(headers['x-gitea-signature']), body, secret)
  if (headers['webhook-signature'] !== undefined) return isStandardSigned(headers, body, secret, nowMs)
  const token = one(headers['x-gitlab-token'])
  return token !== '' && same(sha256(token), sha256(secret))
}

/** Checks a signature by https://www.standardwebhooks.com; `secret` is `whsec_` plus base64, or any other text. */
export function isStandardSigned(
  headers: Headers,
  body: Uint8Array,
  secret: string,
  nowMs = Date.now(),
): boolean {
  const id = one(headers['webhook-id'])
  const time = one(headers['webhook-timestamp'])
  if (secret === '' || id === '' || !/^\d{1,12}$/.test(time)) return false
  if (Math.abs(nowMs / 1000 - Number(time)) > TOLERANCE_SECONDS) return false
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
  const expected = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest()
  return one(headers['webhook-signature'])
    .split(' ')
    .some((each) => each.startsWith('v1,') && same(Buffer.from(each.slice(3), 'base64'), expected))
}

/** Returns the id that identifies a repeated delivery, or undefined if the sender provides none. */
export const deliveryId = (headers: Headers): string | undefined =>
  ['x-github-delivery', 'x-gitea-delivery', 'x-gitlab-event-uuid', 'webhook-id', 'idempotency-key']
    .map((name) => one(headers[name]))
    .find((id) => id !== '')

function isHmac(signature: string | undefined, body: Uint8Array, secret: string): boolean {
  if (signature === undefined || !/^[0-9a-f]{64}$/i.test(signature)) return false
  return same(Buffer.from(signature, 'hex'), createHmac('sha256', secret).update(body).digest())
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()
const same = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)
/** Returns a header's value, or "" if it is missing or came twice. */
const one = (value: string | string[] | undefined): string => (typeof value === 'string' ? value : '')

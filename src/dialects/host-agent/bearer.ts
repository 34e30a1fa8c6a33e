import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { ErrandError } from '../../contract/errors.ts'

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Checks the token of a request: `Authorization: Bearer T`, or `X-Runner-Token: T` as the old clients send too. */
export function bearerCheck(token: string): (request: IncomingMessage) => void {
  const expected = digest(token)
  return (request) => {
    const bearer = /^bearer\s+(.*)$/i.exec(request.headers.authorization ?? '')?.[1]?.trim()
    const given = bearer ?? request.headers['x-runner-token']
    if (typeof given !== 'string' || given === '')
      throw new ErrandError('unauthorized', 'The token is missing.', {
        hint: 'Send the header "Authorization: Bearer <token>" with the token that the agent server was started with.',
      })
    // Hashes have one length, so the comparison tells nothing of the token by its time.
    if (!timingSafeEqual(digest(given), expected))
      throw new ErrandError(
        'unauthorized',
        'The token is wrong: it is not the one this agent server was started with.',
        {
          hint: 'Give dispatch and agent-server the same --token.',
        },
      )
  }
}

import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Container } from 'dockerode'
import { dial } from './dial.ts'

/**
 * Until the container has come to that. Asked of the client's lower half: an engine begins its answer at once, and where it
 * goes away before the end of it the client's own call never ends.
 */
export async function waitFor(
  { id, modem }: Container,
  condition: 'not-running' | 'removed',
  abortSignal?: AbortSignal,
): Promise<void> {
  const request = {
    path: `/containers/${id}/wait?`,
    method: 'POST',
    abortSignal,
    isStream: true,
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
    options: { condition },
  }
  await text(await dial<Readable>(modem, request))
}

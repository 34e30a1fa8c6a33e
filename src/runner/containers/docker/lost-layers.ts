import { setTimeout as sleep } from 'node:timers/promises'

const TRIES = 8
const FIRST_WAIT_MS = 20
/** Docker's words for it; a build's text comes in its stream, the others with status 500. */
const LOST =
  /^(\(HTTP code 500\) server error - )?(unrecognized image ID|failed to export image: failed to set parent|failed to get digest|failed to get destination image)/

/**
 * Docker fails what looks through its images, or builds on cached layers, where another removes one of them at that moment.
 * Such a call is made again, a few times.
 */
export async function despiteRemovals<T>(
  call: () => Promise<T>,
  again: () => void = () => undefined,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await call()
    } catch (error) {
      if (tried === TRIES || !LOST.test((error as Error).message)) throw error
      again()
      await sleep(FIRST_WAIT_MS * 2 ** tried)
    }
  }
}

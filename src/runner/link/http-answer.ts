import type { IncomingMessage } from 'node:http'

const MAX_BYTES = 64 * 1024

/** The message of an error that was answered instead of a link; empty where there is none. */
export async function messageOfAnswer(response: IncomingMessage): Promise<string> {
  let body = ''
  try {
    for await (const chunk of response) {
      body += chunk
      if (body.length > MAX_BYTES) break
    }
  } catch {
    // Half an answer is as good as none: the status says enough.
  }
  try {
    return String(JSON.parse(body).error.message)
  } catch {
    return ''
  }
}

import type { IncomingMessage } from 'node:http'

const MAX_BYTES = 64 * 1024

/** The error that was answered instead of a link; its texts are empty where there is none. */
export async function errorOfAnswer(response: IncomingMessage): Promise<{ code: string; message: string }> {
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
    const { code, message } = JSON.parse(body).error
    return { code: String(code), message: String(message) }
  } catch {
    return { code: '', message: '' }
  }
}

import { DockerClient, type DockerEnv } from './docker-client.ts'

const WITHIN_MS = 5_000
const MAX_CHARACTERS = 256 * 1024

/**
 * The engine's version; undefined where none answers. Over a connection of its own: an engine that is being stopped takes no
 * new one, and answers for a while over those that it has.
 */
export async function askVersion(env: DockerEnv, withinMs = WITHIN_MS): Promise<string | undefined> {
  try {
    const request = { apart: true, signal: AbortSignal.timeout(withinMs) }
    const answer = await new DockerClient(env).open('GET', '/version', request)
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) {
      text += chunk
      if (text.length > MAX_CHARACTERS) return undefined
    }
    const { Version } = JSON.parse(text) as { Version?: unknown }
    return typeof Version === 'string' ? Version : undefined
  } catch {
    return undefined
  }
}

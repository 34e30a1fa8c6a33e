import { realpathSync, statSync } from 'node:fs'
import { ErrandError } from '../../contract/errors.ts'
import type { SessionRequest } from '../agent.ts'
import type { InProcessAgent } from '../in-process.ts'
import { Conversation, sessionIn } from './conversation.ts'
import { BuiltinSession } from './session.ts'
import { type Settings, settingsOf } from './settings.ts'

/** A loop of a few tools on any model behind an OpenAI-compatible service. */
export const builtin: InProcessAgent = {
  name: 'builtin',
  title: 'Built-in agent',
  keys: ['OPENAI_API_KEY'],
  usage: 'each_call',

  check(request) {
    const prepared = prepare(request)
    return 'wrong' in prepared ? prepared.wrong : undefined
  },

  open(request, port, signal) {
    const prepared = prepare(request)
    if ('wrong' in prepared) throw new ErrandError('invalid_argument', prepared.wrong)
    const { settings, cwd } = prepared
    const { session_id, new_session_id, home } = request
    const loaded = session_id !== undefined
    const conversation = loaded ? Conversation.load(home) : Conversation.begin(home, new_session_id)
    port.update({
      kind: 'session',
      agent: 'builtin',
      model: settings.model,
      session_id: session_id ?? new_session_id,
      origin: loaded ? 'loaded' : 'new',
    })
    if (conversation.dropped > 0) {
      const text = `The end of the conversation's file could not be read: ${conversation.dropped} bytes are lost.`
      port.update({ kind: 'notice', text })
    }
    return new BuiltinSession({ request, settings, cwd, conversation, port, signal })
  },
}

/** What a session takes, or why there can be none. */
function prepare(request: SessionRequest): { settings: Settings; cwd: string } | { wrong: string } {
  const settings = settingsOf(request)
  if ('wrong' in settings) return settings
  if (request.extra_args.length > 0) return { wrong: 'The built-in agent takes no extra_args. Remove them.' }
  const { session_id, home } = request
  if (session_id !== undefined && sessionIn(home) !== session_id)
    return { wrong: `The built-in agent has no session ${session_id} in ${home}. Begin a new one.` }
  try {
    const cwd = realpathSync(request.cwd)
    if (statSync(cwd).isDirectory()) return { settings, cwd }
  } catch {
    // Told below.
  }
  return { wrong: `The working folder ${request.cwd} is not there. Name one that is.` }
}

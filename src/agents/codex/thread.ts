import type { AgentUpdateOf } from '../../contract/agent.ts'
import { type JsonObject, object, string } from '../acp/json-shape.ts'
import { present } from '../acp/tool-call.ts'
import type { AskMode, SessionRequest } from '../agent.ts'

/**
 * `ask`: without a sandbox, so that what was allowed can be done, but codex asks before every command and patch.
 * `deny`: what a sandbox lets do is done without asking, all else is asked, and then denied. (Asking before everything
 * would deny reading, too, since codex reads by commands; with `never` it rejects patches silently.)
 */
const modes: Record<AskMode, { approvalPolicy: string; sandbox: string }> = {
  allow: { approvalPolicy: 'never', sandbox: 'danger-full-access' },
  ask: { approvalPolicy: 'untrusted', sandbox: 'danger-full-access' },
  deny: { approvalPolicy: 'on-request', sandbox: 'read-only' },
}

export function threadRequest(request: SessionRequest): { method: string; params: JsonObject } {
  const { cwd, model, ask, session_id } = request
  const params = { cwd, ...modes[ask], approvalsReviewer: 'user', ...(model === undefined ? {} : { model }) }
  // Only a sandbox hides calls.
  if (session_id === undefined)
    return { method: 'thread/start', params: { ...params, experimentalRawEvents: ask === 'deny' } }
  return { method: 'thread/resume', params: { threadId: session_id, ...params, excludeTurns: true } }
}

/** From the answers to `thread/start` (or `resume`) and to `initialize`. */
export function sessionUpdate(
  answer: JsonObject,
  server: JsonObject,
  loaded: boolean,
): AgentUpdateOf<'session'> {
  const thread = object(answer.thread)
  return present({
    kind: 'session',
    agent: 'codex',
    version: /\/(\d[^ ]*)/.exec(string(server.userAgent) ?? '')?.[1],
    model: string(answer.model),
    session_id: string(thread?.id),
    origin: loaded ? 'loaded' : 'new',
  })
}
